/** Which filters prefer a class, from a store's classes.json. Uses no DOM. */

/** @import { Classes, Layer, Manifest } from "../types.js" */

/**
 * @typedef {object} ClassLayer a layer, and its filters that prefer the class
 * @property {number} at the layer's index in the manifest
 * @property {Layer} layer
 * @property {Array<{channel: number, selectivity: number|null}>} filters the most selective first
 * @property {number} share of the layer's filters
 */

/**
 * The filters that prefer a class, for every layer. Entries that do not fit the manifest are left out.
 * @param {Manifest} manifest
 * @param {Classes} classes
 * @param {number} index of the class
 * @returns {ClassLayer[]}
 */
export function filtersByLayer(manifest, classes, index) {
  /** @type {ClassLayer[]} */
  const found = manifest.layers.map((layer, at) => ({ at, layer, filters: [], share: 0 }));
  const rows = Array.isArray(classes.filters) ? classes.filters[index] : null;
  for (const row of Array.isArray(rows) ? rows : []) {
    const [at, channel, selectivity] = Array.isArray(row) ? row : [];
    const own = found[at];
    if (!own || !Number.isInteger(channel) || channel < 0 || channel >= own.layer.channels) continue;
    own.filters.push({ channel, selectivity: Number.isFinite(selectivity) ? selectivity : null });
  }
  for (const own of found) own.share = own.filters.length / (own.layer.channels || 1);
  return found;
}

/**
 * How many filters, in how many layers, and the layer with the largest share of them.
 * @param {ClassLayer[]} all
 */
export function classSummary(all) {
  const some = all.filter(({ filters }) => filters.length);
  return {
    filters: some.reduce((sum, { filters }) => sum + filters.length, 0),
    layers: some.length,
    most: some.reduce((best, own) => (own.share > (best?.share ?? 0) ? own : best), null),
  };
}

/**
 * How many tiles of a layer to show at first: fewer where there are many layers.
 * @param {number} layers
 */
export function initialTileCount(layers) {
  return layers > 20 ? 12 : 24;
}
