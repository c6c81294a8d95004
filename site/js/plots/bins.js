/** The bins of histograms, and what they say in words. Uses no DOM. */
import d3 from "../vendored/d3.js";
import { number } from "../text/format.js";

/**
 * @typedef {object} Bin values from `from` up to, but not including, `to`
 * @property {number} from -Infinity where the bin has no lower edge
 * @property {number} to Infinity where it has no upper edge
 * @property {number} n how many values
 */

/**
 * The n + 1 bins of n edges.
 * @param {number[]} counts
 * @param {number[]} edges
 * @returns {Bin[]}
 */
export function edgeBins(counts, edges) {
  return counts.map((n, i) => ({ from: edges[i - 1] ?? -Infinity, to: edges[i] ?? Infinity, n }));
}

/**
 * The bins of a sparse histogram, from one before the first that holds a value to one after the last.
 * @param {Array<[number, number]>} distribution pairs of bin and count
 * @param {number[]} edges
 */
export function sparseBins(distribution, edges) {
  if (!distribution.length) return [];
  const counts = new Map(distribution);
  const [first, last] = d3.extent(counts.keys());
  return edgeBins(
    d3.range(edges.length + 1).map((i) => counts.get(i) ?? 0),
    edges,
  ).slice(Math.max(0, first - 1), last + 2);
}

/**
 * The index of the bin that a value is in: an edge belongs to the bin above it.
 * @param {number[]} edges
 * @param {number} value
 */
export function binIndex(edges, value) {
  return d3.bisectRight(edges, value);
}

/**
 * The bins of how much filters changed; `same` is the bin of those that did not.
 * @param {number[]} counts
 * @param {number[]} edges
 */
export function changeBins(counts, edges) {
  const same = binIndex(edges, 0);
  return edgeBins(counts, edges).map((bin, i) => ({ ...bin, same: i === same }));
}

/** About this many bins; d3.ticks may make up to 1.6 times as many. */
const BINS = 12;
/** A given range has round ends, so that d3.ticks makes exactly this many. */
const BINS_OF_DOMAIN = 20;

/**
 * Bins of equal width with round edges.
 * @param {Array<number|null|undefined>} values those that are not finite are left out
 * @param {object} [options]
 * @param {[number, number]|null} [options.domain] the range to cover; by default that of the values
 * @param {boolean} [options.clip] put outliers at the top into the last bin, so that the other bins are distinguishable
 * @returns {Array<Bin & {more: boolean}>} empty without values; `more` marks a last bin that also holds higher values
 */
export function valueBins(values, { domain = null, clip = false } = {}) {
  const finite = values.filter(Number.isFinite);
  if (!finite.length) return [];
  const count = domain ? BINS_OF_DOMAIN : BINS;
  const [low, highest] = domain ?? d3.extent(finite);
  if (low === highest) {
    return [{ from: low, to: low + d3.tickStep(0, Math.abs(low) || 1, count), n: finite.length, more: false }];
  }
  const limit = clip ? low + 3 * (d3.quantile(finite, 0.9) - low) : highest;
  const [from, to] = d3.nice(low, limit > low ? Math.min(highest, limit) : highest, count);
  const bins = d3
    .bin()
    .domain([from, to])
    .thresholds(d3.ticks(from, to, count).filter((edge) => edge > from && edge < to));
  const rows = bins(finite.map((value) => Math.min(value, to)));
  return rows.map((row, i) => ({
    from: row.x0,
    to: row.x1,
    n: row.length,
    more: i === rows.length - 1 && highest > to,
  }));
}

/**
 * The first of the bins with the most values.
 * @template {{n: number}} B
 * @param {B[]} bins
 */
export function fullestBin(bins) {
  return d3.greatest(bins, ({ n }) => n);
}

/**
 * "below 1", "1 to 2", "2 or more".
 * @param {{from: number, to: number, more?: boolean}} bin
 * @param {(value: number) => string} [text] how to write a value
 */
export function binText({ from, to, more = false }, text = number) {
  if (from === -Infinity) return `below ${text(to)}`;
  return to === Infinity || more ? `${text(from)} or more` : `${text(from)} to ${text(to)}`;
}
