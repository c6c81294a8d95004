/** A layer of a comparison: its filters before and after, those that changed most first. */
import { changeText, scaleText } from "../../text/changes.js";
import { measureOf, channelsByChange, valuesOf } from "../../data/comparison.js";
import { preserveFocus } from "../../dom/preserve-view.js";
import { breakable, h, replace } from "../../dom/dom.js";
import { count, truncate, plural, truncateStart } from "../../text/format.js";
import { defaultTile } from "../../data/manifest.js";
import { frame } from "../../dom/pictures.js";
import { formatRoute } from "../../data/route.js";
import { openLayer, pairChoice, sideLink, usedControl } from "./controls.js";
import { measureCards } from "./measures.js";
import { picturePair } from "./pictures.js";
import { choices, neighbours } from "../shared/controls.js";
import { disclosure } from "../shared/disclosure.js";
import { TILE_NAMES, hasTile, tileMeaning, tileKinds, tilePicture } from "../shared/tiles.js";
import { tileGrid } from "../shared/tile-grid.js";

/** The kind of tile to show: what the visitor chose, else what both networks have. */
function kindOf(now, sides) {
  if (now.tile) return now.tile;
  const [one, two] = sides.map(({ manifest, layer }) => defaultTile(manifest, layer));
  return one === two ? one : "crop";
}

/** What is shown, in words. */
function sentence({ sides, layer }, measure, known, kind) {
  const lacks = ({ manifest, layer: own, filters }, i) => !hasTile(manifest, own, filters[i], kind);
  const lacking = sides[0].filters.filter((_, i) => sides.some((side) => lacks(side, i))).length;
  return [
    tileMeaning(sides[1].manifest, sides[1].layer, kind),
    " On the left before, in ",
    sideLink(sides[0], { layer: layer.name }),
    "; on the right after, in ",
    sideLink(sides[1], { layer: layer.name }),
    ". ",
    h("b", null, plural(layer.channels, "filter")),
    known ? ", sorted by the change of " : ", in order of number: this layer has no measure of ",
    h("b", null, measure.title),
    known ? `, the largest first. The number is that change: ${measure.says} (${scaleText(measure)}).` : ".",
    lacking ? ` ${count(lacking)} lack this picture and show another instead.` : null,
  ];
}

/** @param {object} ctx */
export async function comparisonLayerView(ctx) {
  const { route, signal } = ctx;
  const scene = await openLayer(ctx);
  const { comparison, at, layer, pair, sides, changes } = scene;
  const own = layer.changes[pair.at];
  const bar = h("div", { class: "toolbar" });
  const cards = h("div", { class: "measures-slot" });
  const nav = h("div", { class: "nav-slot" });
  const choosing = disclosure("Choose what is shown", bar, signal);
  const status = h("p", { class: "status", role: "status" });
  const view = { steps: {} };
  let drawn = { kind: null, now: route, measure: null, values: [], order: [] };

  const half = (side, channel) => tilePicture(side.manifest, side.root, side.layer, side.filters[channel], drawn.kind);
  const name = (channel) => sides[0].names?.[channel];
  const grid = tileGrid({
    label: `Filters of ${truncate(layer.name)}, before and after`,
    frames: 2,
    signal,
    make: (channel, bare) =>
      h(
        "a",
        { class: "tile", href: formatRoute({ ...drawn.now, channel }) },
        bare ? picturePair(frame(null), frame(null)) : picturePair(...sides.map((side) => half(side, channel))),
        h(
          "span",
          { class: "tile-foot" },
          h(
            "span",
            { class: "tile-number", title: name(channel) },
            name(channel) ? truncate(name(channel), 40) : channel,
          ),
          h("span", { class: "tile-value" }, changeText(drawn.measure, drawn.values[channel])),
        ),
      ),
  });

  const beside = (other, now) =>
    other ? { href: formatRoute({ ...now, layer: other.name }), text: other.name } : null;

  function draw(now) {
    const kind = kindOf(now, sides);
    const measure = measureOf(comparison, now.by);
    const values = valuesOf(changes, measure.name, layer.channels);
    drawn = { kind, now, measure, values, order: channelsByChange(values) };
    const steps = [beside(comparison.layers[at - 1], now), beside(comparison.layers[at + 1], now)];
    [view.steps.before, view.steps.after] = steps.map((step) => step?.href ?? null);
    replace(nav, neighbours("layer", ...steps));
    const kinds = tileKinds(
      sides[0].manifest,
      sides[0].layer,
      sides.flatMap(({ filters }) => filters),
      kind,
    );
    preserveFocus(bar, () =>
      replace(
        bar,
        pairChoice(ctx, comparison, pair, now),
        choices(
          "Show",
          kinds.map((value) => ({ value, text: TILE_NAMES[value], href: formatRoute({ ...now, tile: value }) })),
          kind,
        ),
      ),
    );
    const left = cards.firstElementChild?.scrollLeft ?? 0;
    preserveFocus(cards, () => {
      replace(
        cards,
        measureCards(comparison, own.distributions, measure.name, (by) => formatRoute({ ...now, by })),
      );
      cards.firstElementChild.scrollLeft = left;
    });
    choosing.say([
      comparison.pairs.length > 1 ? sides.map((side) => truncate(side.name, 20)).join(" \u2192 ") : null,
      TILE_NAMES[kind],
    ]);
    replace(status, sentence(scene, measure, measure.name in own.distributions, kind));
    grid.show(drawn.order);
  }
  draw(route);
  return Object.assign(view, {
    title: `${layer.name}, ${comparison.title}`,
    crumbs: [{ text: layer.name, short: truncateStart(layer.name), href: formatRoute(route) }],
    node: h(
      "article",
      { class: "view layer compared" },
      h(
        "header",
        { class: "intro" },
        h(
          "div",
          { class: "title-row" },
          h("h1", { tabindex: "-1", title: layer.name }, breakable(truncate(layer.name, 80))),
          nav,
        ),
        h("p", { class: "lede" }, own.summary),
      ),
      cards,
      choosing.node,
      status,
      grid.node,
    ),
    ready() {
      grid.start();
      // The measure that was chosen may be beyond the end of the row.
      const [row] = cards.children;
      const card = row.querySelector("[aria-current]");
      if (card) row.scrollLeft = card.offsetLeft + card.offsetWidth - row.offsetLeft - row.clientWidth;
    },
    update: draw,
    focus: (previous) => {
      const same = previous.comparison === route.comparison && previous.layer === route.layer;
      if (same && previous.channel !== null && route.channel === null)
        return grid.reveal(drawn.order.indexOf(previous.channel));
      const used = usedControl(bar, previous, route);
      if (used) choosing.node.open = true; // as the visitor had left it
      return used;
    },
  });
}
