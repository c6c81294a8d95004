/** Questions to a comparison of networks (comparison.json and the files of its layers). Pure. */

/**
 * @typedef {{name: string, title: string, says: string, signed: boolean, edges: number[]}} Measure
 * @typedef {{counted: number, unchanged: number, mean: number, median: number, max: number, most: number, histogram: number[]}} Distribution
 *
 * @typedef {object} Row a layer, and what a measure comes to in it
 * @property {number} at the layer's place
 * @property {object} layer of the comparison
 * @property {{summary: string, distributions: Record<string, Distribution>}} change
 * @property {Distribution|null} distribution null where no filter has the measure
 */

/**
 * The measure of a name; the first where there is none.
 * @returns {Measure}
 */
export function measureOf({ measures }, name) {
  return measures.find((one) => one.name === name) ?? measures[0];
}

/**
 * Two of the stores, as a route names them; from the first to the last where it does not.
 * @param {object} comparison
 * @param {string|null} text as "0-2"
 * @returns {{at: number, from: number, to: number, summary: string}} `at` is its place in `pairs`
 */
export function pairOf({ pairs, stores }, text) {
  const find = (name) => pairs.findIndex(({ from, to }) => `${from}-${to}` === name);
  const asked = text === null ? -1 : find(text);
  const at = Math.max(0, asked >= 0 ? asked : find(`0-${stores.length - 1}`));
  return { at, ...pairs[at] };
}

/** A pair as a route names it. */
export function pairName({ from, to }) {
  return `${from}-${to}`;
}

/**
 * The layers with what a measure comes to in each.
 * @param {object} comparison
 * @param {number} at the pair's place
 * @param {string} measure
 * @param {"change"|"place"} [order] those that changed most first, or as they come; unknown ones last
 * @returns {Row[]}
 */
export function layerRows({ layers }, at, measure, order = "place") {
  const rows = layers.map((layer, i) => {
    const change = layer.changes[at];
    return { at: i, layer, change, distribution: change.distributions[measure] ?? null };
  });
  const size = ({ distribution }) => distribution?.mean ?? -1;
  return order === "place" ? rows : rows.sort((a, b) => size(b) - size(a) || a.at - b.at);
}

/**
 * A measure of each filter of a layer.
 * @param {{values: Record<string, Array<number|null>>}} changes of a pair
 * @param {string} measure
 * @param {number} channels
 * @returns {Array<number|null>} by channel; nothing but null where the layer does not have the measure
 */
export function valuesOf({ values }, measure, channels) {
  return values[measure] ?? Array.from({ length: channels }, () => null);
}

/** How many filters all layers have together. */
export function filterCount({ layers }) {
  return layers.reduce((sum, { channels }) => sum + channels, 0);
}

/**
 * The channels by how much they changed, most first; equals by channel, those without a value last.
 * @param {Array<number|null>} values by channel
 * @returns {number[]}
 */
export function channelsByChange(values) {
  const size = (channel) => (values[channel] === null ? -1 : Math.abs(values[channel]));
  return values.map((_, channel) => channel).sort((a, b) => size(b) - size(a) || a - b);
}

/**
 * Where a filter stands among those of its layer.
 * @param {Array<number|null>} values by channel
 * @param {number} channel
 * @returns {{place: number, of: number, equal: number}|null} `place` counts from 1, and `equal` many have the same;
 *   null without a value
 */
export function changeRank(values, channel) {
  if ((values[channel] ?? null) === null) return null;
  const own = Math.abs(values[channel]);
  const sizes = values.filter((value) => value !== null).map(Math.abs);
  const count = (test) => sizes.filter(test).length;
  return { place: 1 + count((size) => size > own), of: sizes.length, equal: count((size) => size === own) };
}

/**
 * The bin of a histogram that a value is in: a border belongs to the bin above it.
 * @param {number[]} edges
 * @param {number} value
 */
export function binIndex(edges, value) {
  const above = edges.findIndex((edge) => edge > value);
  return above < 0 ? edges.length : above;
}

/**
 * The histogram of filters of a layer, or of all: each bin with where it lies.
 * @param {number[]} histogram
 * @param {number[]} edges
 * @returns {Array<{from: number, to: number, n: number, same: boolean}>} `same`: the bin of what did not change
 */
export function changeBins(histogram, edges) {
  const still = binIndex(edges, 0);
  return histogram.map((n, i) => ({
    from: i ? edges[i - 1] : -Infinity,
    to: edges[i] ?? Infinity,
    n,
    same: i === still,
  }));
}

/**
 * What became of each image of a list in another list.
 * @param {Array<{image: number}>} mine
 * @param {Array<{image: number}>} others
 * @returns {Array<number|null>} its place there, counted from 1; null where it is not
 */
export function ranksIn(mine, others) {
  return mine.map(({ image }) => others.findIndex((entry) => entry.image === image) + 1 || null);
}

/**
 * Two class profiles together, the classes that stand out in either of them first.
 * @param {Array<[number, number]>} before pairs of class and mean
 * @param {Array<[number, number]>} after
 * @param {number} [most] how many classes at most
 * @returns {Array<{index: number, before: number|null, after: number|null}>} null where a class is not among those listed
 */
export function pairedClasses(before, after, most = 12) {
  const [one, two] = [new Map(before), new Map(after)];
  const highest = (profile) => Math.max(...[...profile.values()].map(Math.abs), 0) || 1;
  const [top, top2] = [highest(one), highest(two)];
  const rows = [...new Set([...one.keys(), ...two.keys()])].map((index) => ({
    index,
    before: one.get(index) ?? null,
    after: two.get(index) ?? null,
  }));
  const size = (row) => Math.max((row.before ?? -Infinity) / top, (row.after ?? -Infinity) / top2);
  return rows.sort((a, b) => size(b) - size(a) || a.index - b.index).slice(0, most);
}

/**
 * How a measure of one filter went, over the stores in their order.
 * @param {object} comparison
 * @param {object} changes the file of its layer
 * @param {string} measure
 * @param {number} channel
 * @returns {Array<{store: number, since: number|null, step: number|null}>} the change since the first store, and that
 *   since the one before; both 0 for the first
 */
export function filterHistory({ stores }, { pairs }, measure, channel) {
  const value = (from, to) => {
    if (from === to) return 0;
    const pair = pairs.find((one) => one.from === from && one.to === to);
    return pair?.values[measure]?.[channel] ?? null;
  };
  return stores.map((_, i) => ({ store: i, since: value(0, i), step: value(Math.max(0, i - 1), i) }));
}

/**
 * How far a layer is from what it was in the first store, over the stores in their order.
 * @param {object} comparison
 * @param {number} at the layer's place
 * @param {string} measure
 * @returns {Array<number|null>} means over its filters, 0 for the first
 */
export function layerHistory({ stores, pairs, layers }, at, measure) {
  return stores.map((_, i) => {
    if (i === 0) return 0;
    const pair = pairs.findIndex(({ from, to }) => from === 0 && to === i);
    return layers[at].changes[pair]?.distributions[measure]?.mean ?? null;
  });
}
