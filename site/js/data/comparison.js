/** Questions to a comparison of networks (comparison.json and the files of its layers). Uses no DOM. */

/** @import { ChangesFile, ComparedLayer, Comparison, Distribution, LayerSummary, Measure, Pair } from "../types.js" */

/**
 * @typedef {object} LayerRow a layer, and the distribution of a measure in it
 * @property {number} at the layer's index
 * @property {ComparedLayer} layer
 * @property {LayerSummary} change
 * @property {Distribution|null} distribution null where no filter has the measure
 *
 * Where a filter stands in its layer: `rank` counts from 1, and `equal` filters share it.
 * @typedef {{rank: number, of: number, equal: number}} ChangeRank
 */

/**
 * The measure of a name; the first if there is none.
 * @param {Pick<Comparison, "measures">} comparison
 * @param {string|null} name
 * @returns {Measure}
 */
export function measureOf({ measures }, name) {
  return measures.find((measure) => measure.name === name) ?? measures[0];
}

/**
 * The pair of stores that a route names; without a name, the first and the last store.
 * @param {Pick<Comparison, "pairs"|"stores">} comparison
 * @param {string|null} name as "0-2"
 * @returns {Pair & {at: number}} `at` is its index in `pairs`
 */
export function pairOf({ pairs, stores }, name) {
  const find = (wanted) => pairs.findIndex((pair) => pairName(pair) === wanted);
  const named = name === null ? -1 : find(name);
  const at = Math.max(0, named >= 0 ? named : find(`0-${stores.length - 1}`));
  return { at, ...pairs[at] };
}

/**
 * A pair as a route names it.
 * @param {Pick<Pair, "from"|"to">} pair
 */
export function pairName({ from, to }) {
  return `${from}-${to}`;
}

/**
 * The layers with the distribution of a measure in each.
 * @param {Pick<Comparison, "layers">} comparison
 * @param {number} pair its index
 * @param {string} measure
 * @param {string} [order] "change": the most changed layers first; "place": as they come
 * @returns {LayerRow[]}
 */
export function layerRows({ layers }, pair, measure, order = "place") {
  const rows = layers.map((layer, at) => {
    const change = layer.changes[pair];
    return { at, layer, change, distribution: change.distributions[measure] ?? null };
  });
  const size = ({ distribution }) => distribution?.mean ?? -1;
  return order === "place" ? rows : rows.sort((a, b) => size(b) - size(a) || a.at - b.at);
}

/**
 * A measure of each filter of a layer.
 * @param {{values: Record<string, Array<number|null>>}} changes of a pair
 * @param {string} measure
 * @param {number} channels
 * @returns {Array<number|null>} by channel; all null where the layer does not have the measure
 */
export function valuesOf({ values }, measure, channels) {
  return values[measure] ?? Array.from({ length: channels }, () => null);
}

/**
 * How many filters all layers have together.
 * @param {Pick<Comparison, "layers">} comparison
 */
export function filterCount({ layers }) {
  return layers.reduce((sum, { channels }) => sum + channels, 0);
}

/**
 * The channels by size of change, the largest first; equals by channel, those without a value last.
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
 * @returns {ChangeRank|null} null without a value
 */
export function changeRank(values, channel) {
  if ((values[channel] ?? null) === null) return null;
  const own = Math.abs(values[channel]);
  const sizes = values.filter((value) => value !== null).map(Math.abs);
  const count = (test) => sizes.filter(test).length;
  return { rank: 1 + count((size) => size > own), of: sizes.length, equal: count((size) => size === own) };
}

/**
 * The rank that each image of a list has in another list.
 * @param {Array<{image: number}>} list
 * @param {Array<{image: number}>} other
 * @returns {Array<number|null>} counted from 1; null where the other list lacks the image
 */
export function ranksIn(list, other) {
  return list.map(({ image }) => other.findIndex((entry) => entry.image === image) + 1 || null);
}

/**
 * Two class profiles together, ordered by how much a class stands out in either of them.
 * @param {Array<[number, number]>} before pairs of class and mean
 * @param {Array<[number, number]>} after
 * @param {number} [most] how many classes at most
 * @returns {Array<{index: number, before: number|null, after: number|null}>} null if not listed
 */
export function pairedClasses(before, after, most = 12) {
  const [first, second] = [new Map(before), new Map(after)];
  const highest = (profile) => Math.max(...[...profile.values()].map(Math.abs), 0) || 1;
  const [scale, otherScale] = [highest(first), highest(second)];
  const rows = [...new Set([...first.keys(), ...second.keys()])].map((index) => ({
    index,
    before: first.get(index) ?? null,
    after: second.get(index) ?? null,
  }));
  const size = (row) => Math.max((row.before ?? -Infinity) / scale, (row.after ?? -Infinity) / otherScale);
  return rows.sort((a, b) => size(b) - size(a) || a.index - b.index).slice(0, most);
}

/**
 * A measure of one filter in each of the stores, in order.
 * @param {Pick<Comparison, "stores">} comparison
 * @param {Pick<ChangesFile, "pairs">} file of the filter's layer
 * @param {string} measure
 * @param {number} channel
 * @returns {Array<{store: number, since: number|null, step: number|null}>} the change since the first store, and since
 *   the previous one; both 0 for the first
 */
export function filterHistory({ stores }, { pairs }, measure, channel) {
  const value = (from, to) => {
    if (from === to) return 0;
    const found = pairs.find((pair) => pair.from === from && pair.to === to);
    return found?.values[measure]?.[channel] ?? null;
  };
  return stores.map((_, i) => ({ store: i, since: value(0, i), step: value(Math.max(0, i - 1), i) }));
}

/**
 * How far a layer is from the first store in each of the stores, in order.
 * @param {Pick<Comparison, "stores"|"pairs"|"layers">} comparison
 * @param {number} at the layer's index
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
