/** What the views of a comparison share: its two sides, and the switches between pairs, measures and pictures. */
import { pairName, pairOf } from "../../data/comparison.js";
import { h } from "../../dom/dom.js";
import { truncate } from "../../text/format.js";
import { StoreError } from "../../data/store.js";
import { formatRoute } from "../../data/route.js";
import { choices } from "../shared/controls.js";

const TAGS = ["before", "after"];

/**
 * Networks of a comparison, as far as their manifests tell.
 * @param {object} store
 * @param {object} comparison
 * @param {number[]} places in its stores; of two the one is before, the other after
 * @param {AbortSignal} signal
 * @returns {Promise<Array<{tag: string, name: string, manifest: object, root: string}>>}
 */
export async function sidesOf(store, comparison, places, signal) {
  return Promise.all(
    places.map(async (at, i) => {
      const { name } = comparison.stores[at];
      const [manifest, root] = await Promise.all([store.network(name, signal), store.folder(name, signal)]);
      return { tag: places.length === 2 ? TAGS[i] : `in ${name}`, name, manifest, root };
    }),
  );
}

async function withLayer(store, side, layerName, signal) {
  const layer = side.manifest.layers.find((one) => one.name === layerName);
  if (!layer) throw new StoreError("unknown", `${truncate(side.name)} has no layer “${truncate(layerName)}”.`);
  const { filters, names } = await store.layer(side.name, layer.data, signal);
  return { ...side, layer, filters, names };
}

/**
 * What the views of a layer and of a filter are made of.
 * @param {object} ctx
 */
export async function openLayer({ store, route, signal }) {
  const comparison = await store.comparison(route.comparison, signal);
  const at = comparison.layers.findIndex(({ name }) => name === route.layer);
  const layer = comparison.layers[at];
  if (!layer)
    throw new StoreError("unknown", `${truncate(comparison.title)} compares no layer “${truncate(route.layer)}”.`);
  const pair = pairOf(comparison, route.pair);
  const [sides, file] = await Promise.all([
    sidesOf(store, comparison, [pair.from, pair.to], signal).then((found) =>
      Promise.all(found.map((side) => withLayer(store, side, route.layer, signal))),
    ),
    store.changes(route.comparison, layer.data, signal),
  ]);
  return { comparison, at, layer, pair, sides, file, changes: file.pairs[pair.at] };
}

/** So many pairs lie side by side; more are a list that opens. */
const BESIDE = 3;

/** A list that opens, whose choice goes to the address. */
function listOf(ctx, { id, label, key, options, current }) {
  const select = h(
    "select",
    { id, on: { change: ({ target }) => ctx.go(formatRoute({ ...ctx.current(), [key]: target.value })) } },
    options.map(({ value, text }) => h("option", { value, selected: value === current }, text)),
  );
  return h("label", { class: "select" }, h("span", { class: "choices-label" }, label), select);
}

/** Which two of the stores: nothing to choose where there are only two. */
export function pairChoice(ctx, comparison, pair, now) {
  if (comparison.pairs.length < 2) return null;
  // By name: moments of one network share their title.
  const labels = comparison.stores.map(({ name }) => truncate(name, 24));
  const current = pairName(pair);
  const options = comparison.pairs.map((one) => ({
    value: pairName(one),
    text: `${labels[one.from]} \u2192 ${labels[one.to]}`,
    href: formatRoute({ ...now, pair: pairName(one) }),
  }));
  const label = "From \u2192 to";
  return options.length > BESIDE
    ? listOf(ctx, { id: "pair-choice", label, key: "pair", options, current })
    : choices(label, options, current);
}

/** Which measure: there may be twenty. */
export function measureChoice(ctx, { measures }, measure) {
  const options = measures.map(({ name, title }) => ({ value: name, text: truncate(title, 40) }));
  return listOf(ctx, { id: "measure-choice", label: "Change of", key: "by", options, current: measure.name });
}

/**
 * The switch that a visitor used to choose another pair of the same place: the focus stays there.
 * @param {HTMLElement} bar
 * @param {import("../../data/route.js").Route} previous
 * @param {import("../../data/route.js").Route} route
 */
export function usedControl(bar, previous, route) {
  const same = ["comparison", "layer", "channel"].every((key) => previous[key] === route[key]);
  return same && previous.pair !== route.pair ? bar.querySelector("#pair-choice, .choice[aria-current]") : null;
}

/** A link to what a network says of itself: all of it, a layer, a filter. */
export function sideLink({ name }, place = {}) {
  return h(
    "a",
    { class: "text-link", href: formatRoute({ network: name, ...place }), title: name },
    truncate(name, 40),
  );
}
