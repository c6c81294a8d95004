/** A layer: all its filters as tiles, sorted and chosen by the visitor. */
import d3 from "../../vendored/d3.js";
import { breakable, h, replace } from "../../dom/dom.js";
import { SORT_TEXTS, selectFilters, classCounts, deadCount, sortValue } from "../../data/filters.js";
import { count, truncate, number, percent, plural, truncateStart, sizeText } from "../../text/format.js";
import { className, hasCrops, hasMap, layerIndex, defaultTile } from "../../data/manifest.js";
import { frame } from "../../dom/pictures.js";
import { StoreError } from "../../data/store.js";
import { formatRoute, parentRoute } from "../../data/route.js";
import { choices, fact, neighbours } from "../shared/controls.js";
import { disclosure } from "../shared/disclosure.js";
import { layerStatistics } from "./numbers.js";
import { TILE_NAMES, hasTile, tileMeaning, tileKinds, tilePicture } from "../shared/tiles.js";
import { tileGrid } from "../shared/tile-grid.js";

const SORTS = {
  channel: { name: "Number", value: () => "" },
  selectivity: { name: "Selectivity", value: (v) => number(v, 2) },
  active: { name: "Most active", value: (v) => (v === null ? number(v) : percent(v)) },
  dead: { name: "Least active", value: (v) => (v === null ? number(v) : percent(v)) },
  score: { name: "Strongest", value: (v) => number(v) },
};

function classSelect(ctx, manifest, counts, route) {
  const option = (index, n) => h("option", { value: index }, `${truncate(className(manifest, index), 40)} (${n})`);
  const select = h(
    "select",
    {
      id: "class-choice",
      title: "Show only filters that have an image of this class among their strongest",
      on: {
        change: (event) => {
          const value = event.target.value;
          ctx.go(formatRoute({ ...ctx.current(), class: value === "" ? null : Number(value) }));
        },
      },
    },
    h("option", { value: "" }, "any class"),
    counts.map(([index, n]) => option(index, n)),
    route.class !== null && !counts.some(([index]) => index === route.class) ? option(route.class, 0) : null,
  );
  select.value = route.class === null ? "" : String(route.class);
  return h("label", { class: "select" }, h("span", { class: "choices-label" }, "Best images include"), select);
}

function head(manifest, layer, at) {
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
    h("p", { class: "lede", data: { part: "meaning" } }),
  );
}

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

/** What is shown, in words. */
function sentence(manifest, layer, chosen, now, kind) {
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

/** @param {object} ctx */
export async function layerView(ctx) {
  const { store, route, signal } = ctx;
  const [manifest, root] = await Promise.all([
    store.network(route.network, signal),
    store.folder(route.network, signal),
  ]);
  const at = layerIndex(manifest, route.layer);
  const layer = manifest.layers[at];
  if (!layer) throw new StoreError("unknown", `${truncate(manifest.name)} has no layer “${truncate(route.layer)}”.`);
  const { filters, names, images } = await store.layer(route.network, layer.data, signal);
  const counts = classCounts(filters);
  const header = head(manifest, layer, at);
  const bar = h("div", { class: "toolbar" });
  const choosing = disclosure("Show and sort", bar, signal);
  const status = h("p", { class: "status", role: "status" });
  const none = h("p", { class: "absent", hidden: true });
  let drawn = { kind: null, now: route, chosen: [] };

  const grid = tileGrid({
    label: `Filters of ${truncate(layer.name)}`,
    signal,
    make: (filter, bare) =>
      h(
        "a",
        { class: "tile", href: formatRoute({ ...drawn.now, channel: filter.channel }) },
        bare ? frame(null) : tilePicture(manifest, root, layer, filter, drawn.kind),
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

  function toolbar(now, kind) {
    const to = (change) => formatRoute({ ...now, ...change });
    const focus = document.activeElement;
    const onChoice = bar.contains(focus) ? (focus.dataset?.value ?? null) : null;
    const onSelect = focus?.id === "class-choice";
    const kinds = tileKinds(manifest, layer, filters, kind);
    replace(
      bar,
      choices(
        "Show",
        kinds.map((value) => ({ value, text: TILE_NAMES[value], href: to({ tile: value }) })),
        kind,
      ),
      choices(
        "Sort by",
        Object.keys(SORTS).map((value) => ({ value, text: SORTS[value].name, href: to({ sort: value }) })),
        now.sort,
      ),
      counts.length ? classSelect(ctx, manifest, counts, now) : null,
    );
    if (onSelect) bar.querySelector("select")?.focus();
    else if (onChoice) [...bar.querySelectorAll(".choice")].find((one) => one.dataset.value === onChoice)?.focus();
  }

  function draw(now) {
    const kind = now.tile ?? defaultTile(manifest, layer);
    const chosen = selectFilters(filters, now);
    drawn = { kind, now, chosen };
    replace(header.querySelector("[data-part=meaning]"), tileMeaning(manifest, layer, kind));
    toolbar(now, kind);
    choosing.say([
      TILE_NAMES[kind],
      SORTS[now.sort].name.toLowerCase(),
      now.class === null ? null : truncate(className(manifest, now.class), 30),
    ]);
    replace(status, sentence(manifest, layer, chosen, now, kind));
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
      header,
      layerStatistics(facts(manifest, layer, filters, images), filters, signal),
      choosing.node,
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
    above: (now) => parentRoute(now),
  };
}
