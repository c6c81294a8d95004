/** Find layers, filters and classes of a network, or layers and filters of a comparison. Uses no DOM. */

/** @import { Comparison, Manifest, Route } from "../types.js" */

/**
 * @typedef {object} Hit
 * @property {"layer"|"filter"|"class"} kind
 * @property {string} label
 * @property {string} detail
 * @property {Partial<Route>} to the parts of the route that change
 */

/** @returns {Hit[]} */
function filterHits(place, name, channel, current) {
  const layers = place.layers.filter((layer) => channel < layer.channels && layer.name.toLowerCase().includes(name));
  layers.sort((a, b) => Number(b.name === current) - Number(a.name === current));
  return layers.map((layer) => ({
    kind: "filter",
    label: `Filter ${channel}`,
    detail: layer.name,
    to: { layer: layer.name, channel, class: null },
  }));
}

/**
 * @param {Manifest|Comparison} place what to search in
 * @param {string} query
 * @param {string|null} current the layer that is open
 * @param {number} [most] how many hits of each kind
 * @returns {Hit[]}
 */
export function findMatches(place, query, current = null, most = 8) {
  const text = query.trim().toLowerCase();
  /** @type {Hit[]} */
  const layers = place.layers
    .filter((layer) => layer.name.toLowerCase().includes(text))
    .sort((a, b) => Number(b.name.toLowerCase() === text) - Number(a.name.toLowerCase() === text))
    .map((layer) => ({
      kind: "layer",
      label: layer.name,
      detail: `${layer.kind}, ${layer.channels} filters`,
      to: { layer: layer.name, channel: null, class: null },
    }));
  if (!text) return layers.slice(0, most);
  const numbered = /^(.*?)[\s:/#]*(\d{1,6})$/.exec(text);
  const separated = numbered && (numbered[1] === "" || /[\s:/#]\d+$/.test(text));
  const name = separated ? numbered[1].replace(/\bfilter$/, "").trim() : "";
  const filters = separated ? filterHits(place, name, Number(numbered[2]), current) : [];
  /** @type {Hit[]} */
  const classes = ("classes" in place.dataset ? place.dataset.classes : [])
    .map((label, index) => ({ label, index }))
    .filter(({ label }) => label.toLowerCase().includes(text))
    .sort((a, b) => a.label.toLowerCase().indexOf(text) - b.label.toLowerCase().indexOf(text))
    .map(({ label, index }) => ({
      kind: "class",
      label,
      detail: "the filters that prefer this class, in all layers",
      to: { layer: null, channel: null, class: index, sort: "channel" },
    }));
  return [layers, filters, classes].flatMap((hits) => hits.slice(0, most));
}
