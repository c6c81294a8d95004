/** A layer: all its filters as tiles, sorted and selected by the visitor. */
import d3 from "../../vendored/d3.js";
import { breakable, h, replace } from "../../dom/dom.js";
import { frame } from "../../dom/pictures.js";
import { preserveFocus } from "../../dom/preserve-view.js";
import { SORT_TEXTS, classCounts, deadCount, selectFilters, sortValue } from "../../data/filters.js";
import { className, defaultTile, hasCrops, hasMap } from "../../data/manifest.js";
import { pictureSources } from "../../data/packs.js";
import { formatRoute } from "../../data/route.js";
import { count, number, percent, plural, sizeText, truncate, truncateStart } from "../../text/format.js";
import { choices, neighbours, selectControl } from "../shared/controls.js";
import { disclosure } from "../shared/disclosure.js";
import { layerOf, openNetwork } from "../shared/open.js";
import { fact } from "../shared/section.js";
import { tileGrid } from "../shared/tile-grid.js";
import { TILE_NAMES, filterTile, hasTile, tileKinds, tileMeaning } from "../shared/tile-pictures.js";
import { layerStatistics } from "./numbers.js";

/** @import { Context, Filter, Layer, Manifest, Route } from "../../types.js" */

const SORTS = {
  channel: { name: "Number", value: () => "" },
  selectivity: { name: "Selectivity", value: (v) => number(v, 2) },
  active: { name: "Most active", value: (v) => (v === null ? number(v) : percent(v)) },
  dead: { name: "Least active", value: (v) => (v === null ? number(v) : percent(v)) },
  score: { name: "Strongest", value: (v) => number(v) },
};

/**
 * @param {Context} ctx
 * @param {Manifest} manifest
 * @param {Array<[number, number]>} counts pairs of class and number of filters
 * @param {Route} route
 */
function classSelect(ctx, manifest, counts, route) {
  const isListed = route.class === null || counts.some(([index]) => index === route.class);
  /** @type {Array<[number, number]>} */
  const all = isListed ? counts : [...counts, [route.class, 0]];
  return selectControl({
    id: "class-choice",
    label: "Best images include",
    title: "Show only filters that have an image of this class among their strongest",
    options: [
      { value: "", text: "any class" },
      ...all.map(([index, n]) => ({ value: index, text: `${truncate(className(manifest, index), 40)} (${n})` })),
    ],
    current: route.class ?? "",
    onChange: (value) => ctx.go(formatRoute({ ...ctx.current(), class: value === "" ? null : Number(value) })),
  });
}

/**
 * @param {Manifest} manifest
 * @param {Layer} layer
 * @param {number} at its index
 * @param {HTMLElement} lede
 */
function head(manifest, layer, at, lede) {
  const step = (other) =>
    other ? { href: formatRoute({ network: manifest.name, layer: other.name }), text: other.name } : null;
  return h(
    "header",
    { class: "intro" },
    h(
      "div",
      { class: "title-row" },
      h("h1", { tabindex: "-1", title: layer.name }, breakable(truncate(layer.name, 80))),
      neighbours("layer", step(manifest.layers[at - 1]), step(manifest.layers[at + 1])),
    ),
    lede,
  );
}

/**
 * @param {Manifest} manifest
 * @param {Layer} layer
 * @param {Filter[]} filters
 * @param {number} [images] that reach the layer, if not all do
 */
function facts(manifest, layer, filters, images) {
  const selectivity = d3.median(filters, (filter) => filter.stats.selectivity);
  const part = hasCrops(manifest, layer) && layer.receptive_field;
  return h(
    "dl",
    { class: "facts" },
    fact("filters", count(layer.channels)),
    fact("kind", h("span", { title: layer.kind }, truncate(layer.kind, 24))),
    fact("map", hasMap(layer) ? layer.shape.slice(1).join("\u202f×\u202f") : "none"),
    fact("a unit sees", part ? `${sizeText(layer.receptive_field.size)} px` : "all"),
    images === undefined ? null : fact("images that reach it", `${count(images)} of ${count(manifest.dataset.images)}`),
    fact("dead filters", count(deadCount(filters))),
    selectivity === undefined ? null : fact("median selectivity", number(selectivity, 2)),
  );
}

/**
 * What is shown, in words.
 * @param {Manifest} manifest
 * @param {Layer} layer
 * @param {Filter[]} chosen
 * @param {Route} now
 * @param {string} kind of tile
 */
function statusText(manifest, layer, chosen, now, kind) {
  const unknown = now.sort !== "channel" && chosen.length && chosen.every((one) => sortValue(one, now.sort) === null);
  const lacking = chosen.filter((filter) => !hasTile(manifest, layer, filter, kind)).length;
  const name = now.class === null ? null : truncate(className(manifest, now.class), 60);
  return [
    plural(chosen.length, "filter"),
    name === null ? null : ` with an image of “${name}” among the strongest`,
    unknown
      ? ", in order of number: what to sort by is not known here"
      : chosen.length > 1
        ? `, ${SORT_TEXTS[now.sort]}`
        : null,
    lacking ? `; ${count(lacking)} without this picture show another instead` : null,
    ".",
  ];
}

/** @type {import("../../types.js").ViewFunction} */
export async function layerView(ctx) {
  const { store, route, signal } = ctx;
  const { manifest, root } = await openNetwork(store, route.network, signal);
  const layer = layerOf(manifest, route.layer);
  const at = manifest.layers.indexOf(layer);
  const file = await store.layer(route.network, layer.data, signal);
  const { filters, names, images } = file;
  const sources = pictureSources({ manifest, root, layer, file, wholeThumbs: true });
  const scene = { manifest, root, layer, sources, show: ctx.show };
  const counts = classCounts(filters);
  const lede = h("p", { class: "lede" });
  const toolbar = h("div", { class: "toolbar" });
  const controls = disclosure("Show and sort", toolbar, signal);
  const status = h("p", { class: "status", role: "status" });
  const none = h("p", { class: "absent", hidden: true });
  /** @type {{kind: string|null, now: Route, chosen: Filter[]}} */
  let drawn = { kind: null, now: route, chosen: [] };

  const grid = tileGrid({
    label: `Filters of ${truncate(layer.name)}`,
    signal,
    make: (filter, bare) =>
      h(
        "a",
        { class: "tile", href: formatRoute({ ...drawn.now, channel: filter.channel }) },
        bare ? frame(null) : filterTile(scene, filter, drawn.kind),
        h(
          "span",
          { class: "tile-foot" },
          h(
            "span",
            { class: "tile-number", title: names?.[filter.channel] },
            names ? truncate(names[filter.channel], 40) : filter.channel,
          ),
          h("span", { class: "tile-value" }, SORTS[drawn.now.sort].value(sortValue(filter, drawn.now.sort))),
        ),
      ),
  });

  function drawToolbar(now, kind) {
    const option = (value, text, change) => ({ value, text, href: formatRoute({ ...now, ...change }) });
    const kinds = tileKinds(manifest, layer, filters, kind);
    preserveFocus(toolbar, () =>
      replace(
        toolbar,
        choices(
          "Show",
          kinds.map((value) => option(value, TILE_NAMES[value], { tile: value })),
          kind,
        ),
        choices(
          "Sort by",
          Object.entries(SORTS).map(([value, { name }]) => option(value, name, { sort: value })),
          now.sort,
        ),
        counts.length ? classSelect(ctx, manifest, counts, now) : null,
      ),
    );
  }

  /** @param {Route} now */
  function draw(now) {
    const kind = now.tile ?? defaultTile(manifest, layer);
    const chosen = selectFilters(filters, now);
    drawn = { kind, now, chosen };
    replace(lede, tileMeaning(manifest, layer, kind));
    drawToolbar(now, kind);
    controls.setState([
      TILE_NAMES[kind],
      SORTS[now.sort].name.toLowerCase(),
      now.class === null ? null : truncate(className(manifest, now.class), 30),
    ]);
    replace(status, statusText(manifest, layer, chosen, now, kind));
    none.hidden = chosen.length > 0;
    replace(
      none,
      "No filter to show. ",
      h("a", { class: "text-link", href: formatRoute({ ...now, class: null }) }, "Show all filters"),
    );
    grid.node.hidden = chosen.length === 0;
    grid.show(chosen);
  }
  draw(route);
  const hrefOf = (other) => (other ? formatRoute({ network: route.network, layer: other.name }) : null);
  return {
    title: `${layer.name}, ${manifest.title ?? manifest.name}`,
    crumbs: [{ text: layer.name, short: truncateStart(layer.name), href: hrefOf(layer) }],
    steps: { before: hrefOf(manifest.layers[at - 1]), after: hrefOf(manifest.layers[at + 1]) },
    node: h(
      "article",
      { class: "view layer" },
      head(manifest, layer, at, lede),
      layerStatistics(facts(manifest, layer, filters, images), filters, signal),
      controls.node,
      status,
      none,
      grid.node,
    ),
    ready: grid.start,
    update: draw,
    focus: (previous) => {
      const same = previous.network === route.network && previous.layer === route.layer;
      return same ? grid.reveal(drawn.chosen.findIndex((filter) => filter.channel === previous.channel)) : null;
    },
  };
}
