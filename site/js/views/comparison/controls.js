/** What the views of a comparison share: its sides, and the controls for pairs, measures and pictures. */
import { h } from "../../dom/dom.js";
import { pairName, pairOf } from "../../data/comparison.js";
import { formatRoute } from "../../data/route.js";
import { pictureSources } from "../../data/packs.js";
import { StoreError } from "../../data/store.js";
import { truncate } from "../../text/format.js";
import { choices, selectControl } from "../shared/controls.js";
import { layerOf, openNetwork } from "../shared/open.js";

/** @import { ComparedScene, Comparison, Context, LayerSide, Measure, Pair, Route } from "../../types.js" */
/** @import { Side } from "../../types.js" */

const TAGS = ["before", "after"];

/**
 * Networks of a comparison, as far as their manifests say.
 * @param {Context} ctx
 * @param {Comparison} comparison
 * @param {number[]} indices of its stores; the first of two is before, the second after
 * @returns {Promise<Side[]>}
 */
export function openSides({ store, signal, show }, comparison, indices) {
  return Promise.all(
    indices.map(async (at, i) => {
      const { name } = comparison.stores[at];
      const tag = indices.length === 2 ? TAGS[i] : `in ${name}`;
      const readLayer = (layer) => store.layer(name, layer.data, signal);
      return { tag, name, show, readLayer, ...(await openNetwork(store, name, signal)) };
    }),
  );
}

/**
 * @param {Side} side
 * @param {string} name of the layer
 * @returns {Promise<LayerSide>}
 */
async function withLayer(side, name) {
  const layer = layerOf(side.manifest, name);
  const file = await side.readLayer(layer);
  const sources = pictureSources({ ...side, layer, file, wholeThumbs: true });
  return { ...side, layer, file, sources, filters: file.filters, names: file.names };
}

/**
 * What the views of a layer and of a filter are drawn from.
 * @param {Context} ctx
 * @returns {Promise<ComparedScene>}
 */
export async function openComparedLayer(ctx) {
  const { store, route, signal } = ctx;
  const comparison = await store.comparison(route.comparison, signal);
  const at = comparison.layers.findIndex(({ name }) => name === route.layer);
  const layer = comparison.layers[at];
  if (!layer) {
    const title = truncate(comparison.title);
    throw new StoreError("unknown", `${title} compares no layer “${truncate(route.layer)}”.`);
  }
  const pair = pairOf(comparison, route.pair);
  const openLayers = async () => {
    const sides = await openSides(ctx, comparison, [pair.from, pair.to]);
    return Promise.all(sides.map((side) => withLayer(side, route.layer)));
  };
  const [sides, file] = await Promise.all([openLayers(), store.changes(route.comparison, layer.data, signal)]);
  return { comparison, at, layer, pair, sides, file, changes: file.pairs[pair.at] };
}

/** More pairs than this are a drop-down list. */
const MOST_IN_A_ROW = 3;

/**
 * The control for the pair of stores; null where there are only two stores.
 * @param {Context} ctx
 * @param {Comparison} comparison
 * @param {Pair} pair
 * @param {Route} now
 */
export function pairControl(ctx, comparison, pair, now) {
  if (comparison.pairs.length < 2) return null;
  // By name: checkpoints of one network share their title.
  const labels = comparison.stores.map(({ name }) => truncate(name, 24));
  const current = pairName(pair);
  const options = comparison.pairs.map((option) => ({
    value: pairName(option),
    text: `${labels[option.from]} \u2192 ${labels[option.to]}`,
    href: formatRoute({ ...now, pair: pairName(option) }),
  }));
  const label = "From \u2192 to";
  if (options.length <= MOST_IN_A_ROW) return choices(label, options, current);
  const onChange = (value) => ctx.go(formatRoute({ ...ctx.current(), pair: value }));
  return selectControl({ id: "pair-choice", label, options, current, onChange });
}

/**
 * The control for the measure.
 * @param {Context} ctx
 * @param {Comparison} comparison
 * @param {Measure} measure
 */
export function measureControl(ctx, { measures }, measure) {
  return selectControl({
    id: "measure-choice",
    label: "Change of",
    options: measures.map(({ name, title }) => ({ value: name, text: truncate(title, 40) })),
    current: measure.name,
    onChange: (value) => ctx.go(formatRoute({ ...ctx.current(), by: value })),
  });
}

/**
 * The control that led from a pair to another pair of the same layer or filter: it gets the focus.
 * @param {HTMLElement} toolbar
 * @param {Route} previous
 * @param {Route} route
 * @returns {HTMLElement|null}
 */
export function usedPairControl(toolbar, previous, route) {
  const same = ["comparison", "layer", "channel"].every((key) => previous[key] === route[key]);
  return same && previous.pair !== route.pair ? toolbar.querySelector("#pair-choice, .choice[aria-current]") : null;
}

/**
 * A link to a network of the comparison, or to a layer or a filter of it.
 * @param {{name: string}} side
 * @param {Partial<Route>} [place]
 */
export function sideLink({ name }, place = {}) {
  const href = formatRoute({ network: name, ...place });
  return h("a", { class: "text-link", href, title: name }, truncate(name, 40));
}

/**
 * The head of one side's pictures.
 * @param {import("../../types.js").FilterSide} side
 */
export function sideHead({ tag, name, layer, filter }) {
  return h(
    "p",
    { class: "side-head", data: { side: tag } },
    h("span", { class: "side-tag" }, tag === "before" ? "Before" : "After"),
    " ",
    sideLink({ name }, { layer: layer.name, channel: filter.channel }),
  );
}

/**
 * One side's pictures, below their head.
 * @param {import("../../types.js").FilterSide} side
 * @param {...any} content
 */
export function sideGroup(side, ...content) {
  const label = side.tag === "before" ? "Before" : "After";
  return h("div", { class: "side", role: "group", "aria-label": label }, sideHead(side), content);
}

/**
 * A link to a measure, with a small plot.
 * @param {Measure} measure
 * @param {object} options
 * @param {string} options.href
 * @param {boolean} options.current
 * @param {SVGElement} options.plot
 * @param {any[]} options.figure
 */
export function measureLink(measure, { href, current, plot, figure }) {
  return h(
    "a",
    {
      class: "measure",
      href,
      title: measure.says,
      tabindex: current ? "0" : "-1",
      "aria-current": current ? "true" : null,
      data: { value: measure.name },
    },
    h("span", { class: "measure-name" }, truncate(measure.title, 32)),
    plot,
    h("span", { class: "measure-figure" }, figure),
  );
}
