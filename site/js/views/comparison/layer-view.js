/** A layer of a comparison: its filters before and after, those that changed most first. */
import { breakable, h, replace } from "../../dom/dom.js";
import { frame } from "../../dom/pictures.js";
import { preserveFocus } from "../../dom/preserve-view.js";
import { channelsByChange, measureOf, valuesOf } from "../../data/comparison.js";
import { defaultTile } from "../../data/manifest.js";
import { formatRoute } from "../../data/route.js";
import { changeText, scaleText } from "../../text/changes.js";
import { count, plural, truncate, truncateStart } from "../../text/format.js";
import { choices, neighbours } from "../shared/controls.js";
import { disclosure } from "../shared/disclosure.js";
import { tileGrid } from "../shared/tile-grid.js";
import { TILE_NAMES, filterTile, hasTile, tileKinds, tileMeaning } from "../shared/tile-pictures.js";
import { openComparedLayer, pairControl, sideLink, usedPairControl } from "./controls.js";
import { measureCards } from "./measures.js";
import { picturePair } from "./pictures.js";

/** @import { ComparedScene, LayerSide, Measure, Route } from "../../types.js" */

/**
 * The kind of tile to show: what the visitor chose, or else what both networks have.
 * @param {Route} now
 * @param {LayerSide[]} sides
 */
function kindOf(now, sides) {
  if (now.tile) return now.tile;
  const [before, after] = sides.map(({ manifest, layer }) => defaultTile(manifest, layer));
  return before === after ? before : "crop";
}

/**
 * What is shown, in words.
 * @param {ComparedScene} scene
 * @param {Measure} measure
 * @param {boolean} isMeasured whether the layer has the measure
 * @param {string} kind of tile
 */
function statusText({ sides, layer }, measure, isMeasured, kind) {
  const [before, after] = sides;
  const lacksTile = ({ manifest, layer: own, filters }, i) => !hasTile(manifest, own, filters[i], kind);
  const lacking = before.filters.filter((_, i) => sides.some((side) => lacksTile(side, i))).length;
  return [
    tileMeaning(after.manifest, after.layer, kind),
    " On the left before, in ",
    sideLink(before, { layer: layer.name }),
    "; on the right after, in ",
    sideLink(after, { layer: layer.name }),
    ". ",
    h("b", null, plural(layer.channels, "filter")),
    isMeasured ? ", sorted by the change of " : ", in order of number: this layer has no measure of ",
    h("b", null, measure.title),
    isMeasured ? `, the largest first. The number is that change: ${measure.says} (${scaleText(measure)}).` : ".",
    lacking ? ` ${count(lacking)} lack this picture and show another instead.` : null,
  ];
}

/** @type {import("../../types.js").ViewFunction} */
export async function comparisonLayerView(ctx) {
  const { route, signal } = ctx;
  const scene = await openComparedLayer(ctx);
  const { comparison, at, layer, pair, sides, changes } = scene;
  const { summary, distributions } = layer.changes[pair.at];
  const { names } = sides[0];
  const toolbar = h("div", { class: "toolbar" });
  const cards = h("div", { class: "measures-slot" });
  const nav = h("div", { class: "nav-slot" });
  const controls = disclosure("Choose what is shown", toolbar, signal);
  const status = h("p", { class: "status", role: "status" });
  /** @type {{before?: string|null, after?: string|null}} */
  const steps = {};
  /** @type {{kind: string|null, now: Route, measure: Measure|null, values: Array<number|null>, order: number[]}} */
  let drawn = { kind: null, now: route, measure: null, values: [], order: [] };

  const tileName = (channel) => (names?.[channel] ? truncate(names[channel], 40) : channel);
  const grid = tileGrid({
    label: `Filters of ${truncate(layer.name)}, before and after`,
    frames: 2,
    signal,
    make(channel, bare) {
      const [before, after] = sides.map((side) =>
        bare ? frame(null) : filterTile(side, side.filters[channel], drawn.kind),
      );
      return h(
        "a",
        { class: "tile", href: formatRoute({ ...drawn.now, channel }) },
        picturePair(before, after),
        h(
          "span",
          { class: "tile-foot" },
          h("span", { class: "tile-number", title: names?.[channel] }, tileName(channel)),
          h("span", { class: "tile-value" }, changeText(drawn.measure, drawn.values[channel])),
        ),
      );
    },
  });

  /** @param {Route} now */
  function drawNeighbours(now) {
    const step = (other) => (other ? { href: formatRoute({ ...now, layer: other.name }), text: other.name } : null);
    const [before, after] = [step(comparison.layers[at - 1]), step(comparison.layers[at + 1])];
    Object.assign(steps, { before: before?.href, after: after?.href });
    replace(nav, neighbours("layer", before, after));
  }

  /** @param {Route} now */
  function drawToolbar(now, kind) {
    const [before] = sides;
    const filters = sides.flatMap((side) => side.filters);
    const options = tileKinds(before.manifest, before.layer, filters, kind).map((value) => ({
      value,
      text: TILE_NAMES[value],
      href: formatRoute({ ...now, tile: value }),
    }));
    preserveFocus(toolbar, () =>
      replace(toolbar, pairControl(ctx, comparison, pair, now), choices("Show", options, kind)),
    );
    const sideNames =
      comparison.pairs.length > 1 ? sides.map((side) => truncate(side.name, 20)).join(" \u2192 ") : null;
    controls.setState([sideNames, TILE_NAMES[kind]]);
  }

  /** @param {Route} now */
  function draw(now) {
    const kind = kindOf(now, sides);
    const measure = measureOf(comparison, now.by);
    const values = valuesOf(changes, measure.name, layer.channels);
    drawn = { kind, now, measure, values, order: channelsByChange(values) };
    drawNeighbours(now);
    drawToolbar(now, kind);
    const left = cards.firstElementChild?.scrollLeft ?? 0;
    preserveFocus(cards, () => {
      const list = measureCards(comparison, distributions, measure.name, (by) => formatRoute({ ...now, by }));
      replace(cards, list);
      list.scrollLeft = left;
    });
    replace(status, statusText(scene, measure, measure.name in distributions, kind));
    grid.show(drawn.order);
  }
  draw(route);

  return {
    title: `${layer.name}, ${comparison.title}`,
    crumbs: [{ text: layer.name, short: truncateStart(layer.name), href: formatRoute(route) }],
    steps,
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
        h("p", { class: "lede" }, summary),
      ),
      cards,
      controls.node,
      status,
      grid.node,
    ),
    ready() {
      grid.start();
      // The current measure may be beyond the end of the row.
      const row = cards.firstElementChild;
      const card = /** @type {HTMLElement|null} */ (row.querySelector("[aria-current]"));
      const rowLeft = /** @type {HTMLElement} */ (row).offsetLeft;
      if (card) row.scrollLeft = card.offsetLeft + card.offsetWidth - rowLeft - row.clientWidth;
    },
    update: draw,
    focus: (previous) => {
      const same = previous.comparison === route.comparison && previous.layer === route.layer;
      if (same && previous.channel !== null && route.channel === null) {
        return grid.reveal(drawn.order.indexOf(previous.channel));
      }
      const used = usedPairControl(toolbar, previous, route);
      if (used) controls.node.open = true; // as the visitor had left it
      return used;
    },
  };
}
