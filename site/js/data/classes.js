/** Which filters prefer a class, from a store's classes.json. Pure. */

/**
 * @typedef {object} Home a layer, and its filters that prefer the class
 * @property {number} at the layer's place in the manifest
 * @property {object} layer of the manifest
 * @property {Array<{channel: number, selectivity: number|null}>} filters the most selective first
 * @property {number} share of the layer's filters
 */

/**
 * The filters that prefer a class, layer by layer; every layer is there, also one that has none.
 * Entries that the manifest knows nothing of are left out.
 * @param {object} manifest
 * @param {{filters: Array<Array<[number, number, number|null]>>}} classes
 * @param {number} index of the class
 * @returns {Home[]}
 */
export function filtersByLayer(manifest, classes, index) {
  const found = manifest.layers.map((layer, at) => ({ at, layer, filters: [], share: 0 }));
  const rows = Array.isArray(classes.filters) ? classes.filters[index] : null;
  for (const row of Array.isArray(rows) ? rows : []) {
    const [at, channel, selectivity] = Array.isArray(row) ? row : [];
    const home = found[at];
    if (!home || !Number.isInteger(channel) || channel < 0 || channel >= home.layer.channels) continue;
    home.filters.push({ channel, selectivity: Number.isFinite(selectivity) ? selectivity : null });
  }
  for (const home of found) home.share = home.filters.length / (home.layer.channels || 1);
  return found;
}

/**
 * In sum: how many filters, in how many layers, and the layer with the largest share of them.
 * @param {Home[]} all
 */
export function classSummary(all) {
  const some = all.filter(({ filters }) => filters.length);
  return {
    filters: some.reduce((sum, { filters }) => sum + filters.length, 0),
    layers: some.length,
    most: some.reduce((best, home) => (home.share > (best?.share ?? 0) ? home : best), null),
  };
}

/** How many tiles of a layer to show at first: fewer where there are many layers. */
export function initialTileCount(layers) {
  return layers > 20 ? 12 : 24;
}
