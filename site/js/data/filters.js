/** Sort and select the filters of a layer. Uses no DOM. */

/** @import { Entry, Filter, Images } from "../types.js" */

/** @type {Record<string, ((filter: Filter) => number|null|undefined)|null>} */
const KEYS = {
  channel: null,
  selectivity: (filter) => filter.stats.selectivity,
  active: (filter) => filter.stats.active,
  dead: (filter) => filter.stats.active,
  score: (filter) => filter.max[0]?.score,
};

/** In words: what comes first. */
export const SORT_TEXTS = {
  channel: "in order of number",
  selectivity: "most selective for one class first",
  active: "active in most images first",
  dead: "active in fewest images first, so dead ones lead",
  score: "strongest activation first",
};

/** The sorts that begin with the lowest value. */
const ASCENDING = new Set(["dead"]);

/**
 * The value that a sort compares; null where a filter has none.
 * @param {Filter} filter
 * @param {string} sort
 */
export function sortValue(filter, sort) {
  return KEYS[sort]?.(filter) ?? null;
}

/**
 * Whether an image of the class is among the filter's best.
 * @param {Filter} filter
 * @param {number} index
 */
export function hasClass(filter, index) {
  return filter.max.some((entry) => entry.class === index);
}

/**
 * What the visitor chose: a sort, and a class that the best images must include.
 * @typedef {{sort: string, class: number|null}} Selection
 */

/**
 * The filters to show, in order: highest first (lowest, for the sort "dead"), equals by channel, those without
 * a value last.
 * @param {Filter[]} filters
 * @param {Selection} selection
 * @returns {Filter[]}
 */
export function selectFilters(filters, { sort, class: index }) {
  const selected = index === null ? filters.slice() : filters.filter((filter) => hasClass(filter, index));
  const sign = ASCENDING.has(sort) ? -1 : 1;
  const value = (filter) => {
    const own = sortValue(filter, sort);
    return own === null ? -Infinity : sign * own;
  };
  return selected.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    return (x === y ? 0 : y - x) || a.channel - b.channel;
  });
}

/**
 * @typedef {object} Neighbours
 * @property {number} place counted from 1
 * @property {number} of
 * @property {boolean} chosen whether only filters of the selected class count
 * @property {Filter|null} before
 * @property {Filter|null} after
 */

/**
 * A filter's neighbours in the order that the visitor chose; among all filters if the selection lacks it.
 * @param {Filter[]} filters
 * @param {Selection} selection
 * @param {number} channel
 * @returns {Neighbours}
 */
export function neighboursOf(filters, selection, channel) {
  const some = selectFilters(filters, selection);
  const chosen = selection.class !== null && some.some((filter) => filter.channel === channel);
  const all = chosen || selection.class === null ? some : selectFilters(filters, { ...selection, class: null });
  const at = all.findIndex((filter) => filter.channel === channel);
  return { place: at + 1, of: all.length, chosen, before: all[at - 1] ?? null, after: all[at + 1] ?? null };
}

/**
 * Images of a class: those among the filter's best come first, then others that the store has.
 * @param {Entry[]} best the filter's `max` or `avg`
 * @param {Images} images
 * @param {number} index the class
 * @param {number} [most]
 * @returns {Array<{image: number, rank: number|null, entry: Entry|null}>} `rank` counts from 1 in `best`
 */
export function classImages(best, images, index, most = 6) {
  const found = [];
  const seen = new Set();
  best.forEach((entry, i) => {
    if (entry.class !== index || seen.has(entry.image)) return;
    seen.add(entry.image);
    found.push({ image: entry.image, rank: i + 1, entry });
  });
  for (const id of Object.keys(images)) {
    if (found.length >= most) break;
    if (images[id].class !== index || seen.has(Number(id))) continue;
    found.push({ image: Number(id), rank: null, entry: null });
  }
  return found.slice(0, most);
}

/**
 * How many filters have each class among their best, most frequent first.
 * @param {Filter[]} filters
 * @returns {Array<[number, number]>} pairs of class and number of filters
 */
export function classCounts(filters) {
  const counts = new Map();
  for (const filter of filters) {
    for (const index of new Set(filter.max.map((entry) => entry.class))) {
      if (index !== null && index !== undefined) counts.set(index, (counts.get(index) ?? 0) + 1);
    }
  }
  return [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
}

/**
 * How many filters no image activates.
 * @param {Filter[]} filters
 */
export function deadCount(filters) {
  return filters.filter((filter) => filter.stats.active === 0).length;
}
