/** Sorting and choosing the filters of a layer. Pure. */

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
const RISING = new Set(["dead"]);

/** The value that a sort looks at; null where it has none. */
export function sortValue(filter, sort) {
  return KEYS[sort]?.(filter) ?? null;
}

/** Whether an image of the class is among the filter's best. */
export function hasClass(filter, index) {
  return filter.max.some((entry) => entry.class === index);
}

/**
 * The filters to show, in order: highest first (lowest, for the sort "dead"), equals by channel, those without
 * a value last.
 * @param {object[]} filters
 * @param {{sort: string, class: number|null}} choice
 */
export function selectFilters(filters, { sort, class: index }) {
  const chosen = index === null ? filters.slice() : filters.filter((f) => hasClass(f, index));
  const sign = RISING.has(sort) ? -1 : 1;
  const value = (filter) => {
    const known = sortValue(filter, sort);
    return known === null ? -Infinity : sign * known;
  };
  return chosen.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    return (x === y ? 0 : y - x) || a.channel - b.channel;
  });
}

/**
 * A filter's neighbours in the order that the visitor chose; among all filters if it is not one of those chosen.
 * @param {object[]} filters
 * @param {{sort: string, class: number|null}} choice
 * @param {number} channel
 * @returns {{place: number, of: number, chosen: boolean, before: object|null, after: object|null}} `place` counts from 1
 */
export function neighboursOf(filters, choice, channel) {
  const some = selectFilters(filters, choice);
  const chosen = choice.class !== null && some.some((filter) => filter.channel === channel);
  const all = chosen || choice.class === null ? some : selectFilters(filters, { ...choice, class: null });
  const at = all.findIndex((filter) => filter.channel === channel);
  return { place: at + 1, of: all.length, chosen, before: all[at - 1] ?? null, after: all[at + 1] ?? null };
}

/**
 * Images of a class to look at: those among the filter's best come first, then others that the store has.
 * @param {Array<{image: number, class: number|null, score: number}>} best the filter's `max` or `avg`
 * @param {Record<string, {class: number|null}>} images of images.json, by id
 * @param {number} index the class
 * @param {number} [most]
 * @returns {Array<{image: number, rank: number|null, entry: object|null}>} `rank` counts from 1 in `best`
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
 * @param {object[]} filters
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

/** How many filters no image excites. */
export function deadCount(filters) {
  return filters.filter((filter) => filter.stats.active === 0).length;
}

/** The middle of the known values; null where there are none. */
export function median(values) {
  const known = values.filter((value) => Number.isFinite(value)).sort((a, b) => a - b);
  if (!known.length) return null;
  const half = known.length >> 1;
  return known.length % 2 ? known[half] : (known[half - 1] + known[half]) / 2;
}
