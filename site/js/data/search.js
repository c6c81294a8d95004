/** What a search finds: layers, filters and classes of one network, or layers and filters of a comparison. Pure. */

/**
 * @typedef {object} Hit
 * @property {"layer"|"filter"|"class"} kind
 * @property {string} label
 * @property {string} detail
 * @property {object} to the parts of the route that change
 */

function filterHits(manifest, name, channel, current) {
  const layers = manifest.layers.filter((layer) => channel < layer.channels && layer.name.toLowerCase().includes(name));
  layers.sort((a, b) => (b.name === current) - (a.name === current));
  return layers.map((layer) => ({
    kind: "filter",
    label: `Filter ${channel}`,
    detail: layer.name,
    to: { layer: layer.name, channel, class: null },
  }));
}

/**
 * @param {object} manifest or comparison
 * @param {string} query
 * @param {string|null} current the layer that is open
 * @param {number} [most] how many hits a kind at most
 * @returns {Hit[]}
 */
export function findMatches(manifest, query, current = null, most = 8) {
  const text = query.trim().toLowerCase();
  const layers = manifest.layers
    .filter((layer) => layer.name.toLowerCase().includes(text))
    .sort((a, b) => (b.name.toLowerCase() === text) - (a.name.toLowerCase() === text))
    .map((layer) => ({
      kind: "layer",
      label: layer.name,
      detail: `${layer.kind}, ${layer.channels} filters`,
      to: { layer: layer.name, channel: null, class: null },
    }));
  if (!text) return layers.slice(0, most);
  const asked = /^(.*?)[\s:/#]*(\d{1,6})$/.exec(text);
  const separated = asked && (asked[1] === "" || /[\s:/#]\d+$/.test(text));
  const name = separated ? asked[1].replace(/\bfilter$/, "").trim() : "";
  const filters = separated ? filterHits(manifest, name, Number(asked[2]), current) : [];
  const classes = (manifest.dataset.classes ?? [])
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
