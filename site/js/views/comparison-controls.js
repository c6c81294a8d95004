/** What the views of a comparison share: its two sides, and the switches between pairs, measures and pictures. */
import { pairName, pairOf } from "../comparison.js";
import { h } from "../dom.js";
import { cut } from "../format.js";
import { networkLabels } from "../manifest.js";
import { StoreError } from "../store.js";
import { format } from "../state.js";
import { choices } from "./controls.js";

const TAGS = ["before", "after"];

/**
 * Networks of a comparison, as far as their manifests tell.
 * @param {object} store
 * @param {object} comparison
 * @param {number[]} places in its stores; of two the one is before, the other after
 * @param {AbortSignal} signal
 * @returns {Promise<Array<{tag: string, name: string, label: string, manifest: object, root: string}>>}
 */
export async function sidesOf(store, comparison, places, signal) {
  const labels = networkLabels(comparison.stores);
  return Promise.all(
    places.map(async (at, i) => {
      const { name } = comparison.stores[at];
      const [manifest, root] = await Promise.all([store.network(name, signal), store.folder(name, signal)]);
      return { tag: places.length === 2 ? TAGS[i] : `in ${labels[at]}`, name, label: labels[at], manifest, root };
    }),
  );
}

async function withLayer(store, side, layerName, signal) {
  const layer = side.manifest.layers.find((one) => one.name === layerName);
  if (!layer) throw new StoreError("unknown", `${cut(side.name)} has no layer “${cut(layerName)}”.`);
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
  if (!layer) throw new StoreError("unknown", `${cut(comparison.title)} compares no layer “${cut(route.layer)}”.`);
  const pair = pairOf(comparison, route.pair);
  const [sides, file] = await Promise.all([
    sidesOf(store, comparison, [pair.from, pair.to], signal).then((found) =>
      Promise.all(found.map((side) => withLayer(store, side, route.layer, signal))),
    ),
    store.changes(route.comparison, layer.data, signal),
  ]);
  return { comparison, at, layer, pair, sides, file, changes: file.pairs[pair.at] };
}

/** Which two of the stores: nothing to choose where there are only two. */
export function pairChoices(comparison, pair, now) {
  if (comparison.pairs.length < 2) return null;
  const labels = networkLabels(comparison.stores).map((label) => cut(label, 24));
  const options = comparison.pairs.map((one) => ({
    value: pairName(one),
    text: `${labels[one.from]} \u2192 ${labels[one.to]}`,
    href: format({ ...now, pair: pairName(one) }),
  }));
  return choices("From \u2192 to", options, pairName(pair));
}

/** Which measure: there may be twenty, so this is a list that opens. */
export function measureSelect(ctx, { measures }, measure) {
  const select = h(
    "select",
    { id: "measure-choice", on: { change: ({ target }) => ctx.go(format({ ...ctx.current(), by: target.value })) } },
    measures.map(({ name, title }) => h("option", { value: name, selected: name === measure.name }, cut(title, 40))),
  );
  return h("label", { class: "select" }, h("span", { class: "choices-label" }, "Change of"), select);
}

/**
 * Draw switches anew and keep the focus on the one that has it.
 * @param {HTMLElement} bar
 * @param {() => void} draw
 */
export function keepingFocus(bar, draw) {
  const active = bar.contains(document.activeElement) ? document.activeElement : null;
  const { id } = active ?? {};
  const value = active?.dataset.value;
  draw();
  if (id) bar.querySelector(`#${id}`)?.focus();
  else if (value !== undefined) [...bar.querySelectorAll("[data-value]")].find((one) => one.dataset.value === value)?.focus();
}

/**
 * The switch that a visitor used to choose another pair of the same place: the focus stays there.
 * @param {HTMLElement} bar
 * @param {import("../state.js").Route} previous
 * @param {import("../state.js").Route} route
 */
export function usedSwitch(bar, previous, route) {
  const same = ["comparison", "layer", "channel"].every((key) => previous[key] === route[key]);
  return same && previous.pair !== route.pair ? bar.querySelector(".choice[aria-current]") : null;
}

/** A link to what a network says of itself: all of it, a layer, a filter. */
export function sideLink({ name, label }, place = {}) {
  return h("a", { class: "paper", href: format({ network: name, ...place }), title: label }, cut(label, 40));
}
