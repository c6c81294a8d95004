/** What changed between networks, in words. Uses no DOM. */
import { number, ordinal, percent, plural } from "./format.js";

const MINUS = "\u2212";

/**
 * A value of a measure, with a sign if the measure is signed.
 * @param {{signed: boolean}} measure
 * @param {number|null|undefined} value
 */
export function changeText({ signed }, value) {
  if (value === null || value === undefined) return "\u2013";
  return signed && value > 0 ? `+${number(value, 2)}` : number(value, 2);
}

/**
 * How to read the numbers of a measure.
 * @param {{low: number|null, high: number|null, signed: boolean}} measure
 */
export function scaleText({ high, signed }) {
  if (signed) return "0: no change; above it more, below it less";
  if (high === 2) return "0: no change, 1: nothing alike, 2: the opposite";
  return high === 1 ? "0: no change, 1: all of it" : "0: no change";
}

/**
 * A correlation or a cosine; 1.00 only where it is exact.
 * @param {number} value
 */
export function correlationText(value) {
  if (value > 0.99 && value < 1) return "over 0.99";
  const text = Math.abs(value).toFixed(2);
  return value < 0 && Number(text) !== 0 ? MINUS + text : text;
}

/**
 * What sentences need to know of a filter.
 * @typedef {object} FilterFacts
 * @property {number} k the length of lists
 * @property {[number, number]|null} partner the filter that is most like it after, and the correlation
 * @property {number} channel
 */

const similarity = (change) => correlationText(1 - change);

/** A ratio as a percentage; above 2, as a factor. */
function ratio(value) {
  return value > 2 ? `${number(value, 2)} times` : percent(value);
}

const moreOrLess = (value) => (value > 0 ? "higher" : "lower");

/** How many of the k images of a list were replaced. */
function replaced(value, k, which) {
  const n = Math.round(value * k);
  return `${n} of its ${k} ${which} ${n === 1 ? "was" : "were"} replaced.`;
}

/**
 * By measure, a sentence for a value that is not 0.
 * @type {Record<string, (value: number, filter: FilterFacts) => string>}
 */
const SENTENCES = {
  maps: (v) => `Its maps before and after correlate at ${similarity(v)}, over all images and positions.`,
  means: (v) => `Image by image, its mean activation before and after correlates at ${similarity(v)}.`,
  maxima: (v) => `Image by image, its highest activation before and after correlates at ${similarity(v)}.`,
  difference: (v) => `Its maps lie apart by ${ratio(v)} ${v > 2 ? "" : "of "}how much they varied before.`,
  partner: (v, { partner, channel }) =>
    partner && partner[0] !== channel
      ? `After, filter ${partner[0]} is most like it: their maps correlate at ${similarity(v)}.`
      : `Its maps and those of the filter that is most like it after correlate at ${similarity(v)}.`,
  weights: (v) => `Its weights moved by ${ratio(v)} ${v > 2 ? "" : "of "}their length.`,
  direction: (v) => `The cosine similarity of its weights before and after is ${similarity(v)}.`,
  cross: (v) =>
    v < 1
      ? `Each filter responds ${percent(v)} less to the other\u2019s filter image than to its own, on average.`
      : "On average, the two filters do not respond to each other\u2019s filter image.",
  top_max: (v, { k }) => replaced(v, k, "strongest images"),
  top_avg: (v, { k }) => replaced(v, k, "images that are highest on average"),
  rank_max: (v) => `The order of its strongest images before and after correlates at ${similarity(v)}.`,
  rank_avg: (v) => `The order of the images that are highest on average correlates at ${similarity(v)}.`,
  classes_max: (v) => `By strongest response, ${percent(v)} of its class profile moved to other classes.`,
  classes_avg: (v) => `By mean response, ${percent(v)} of its class profile moved to other classes.`,
  mean_shift: (v) => `Its mean activation is ${number(Math.abs(v), 2)} standard deviations ${moreOrLess(v)} after.`,
  max_shift: (v) => `Its highest activations are ${number(Math.abs(v), 2)} standard deviations ${moreOrLess(v)} after.`,
  active: (v) =>
    `The share of images that activate it is ${number(100 * Math.abs(v), 2)} percentage points ${moreOrLess(v)} after.`,
  selectivity: (v) => `Its class selectivity is ${number(Math.abs(v), 2)} ${moreOrLess(v)} after.`,
  embed_image: (v) =>
    `In the embedding of a third network, the cosine similarity of its two filter images is ${similarity(v)}.`,
  embed_crops: (v) =>
    `In the embedding of a third network, the cosine similarity of its crops before and after is ${similarity(v)}.`,
};

/**
 * A measure's value in a sentence.
 * @param {{name: string, says: string}} measure
 * @param {number|null} value
 * @param {FilterFacts} filter
 */
export function measureSentence(measure, value, filter) {
  if (value === null) return "Not defined for this filter, or it could not be computed.";
  if (value === 0) return "Nothing changed.";
  return SENTENCES[measure.name]?.(value, filter) ?? `${measure.says}: ${number(value, 2)}.`;
}

/**
 * What a correlation of maps means, from the highest down.
 * @type {Array<[number, string]>}
 */
const VERDICTS = [
  [0.99, "It responds almost exactly as before"],
  [0.9, "It responds much as before"],
  [0.6, "It responds only partly as before"],
  [0.2, "It responds to little of what it did before"],
  [-1, "It responds to other things than before"],
];

/**
 * How a filter changed, in a few sentences.
 * @param {{values: Record<string, Array<number|null>>}} changes of a pair
 * @param {number} channel
 * @param {number} k the length of lists
 * @returns {string}
 */
export function changeSummary({ values }, channel, k) {
  const value = (name) => values[name]?.[channel] ?? null;
  const known = Object.keys(values)
    .map(value)
    .filter((one) => one !== null);
  if (!known.length) return "No measure is defined for this filter.";
  if (known.every((one) => one === 0)) return "Nothing changed in this filter, by any measure.";
  const sentences = [];
  const maps = value("maps");
  if (maps === 0) sentences.push("Its maps are the same on every image.");
  else if (maps !== null) {
    const [, words] = VERDICTS.find(([least]) => 1 - maps >= least) ?? VERDICTS.at(-1);
    sentences.push(`${words}: its maps correlate at ${similarity(maps)}.`);
  }
  const top = value("top_max");
  if (top !== null)
    sentences.push(top === 0 ? "Its strongest images are the same." : replacedStrongest(Math.round(top * k), k));
  return sentences.join(" ") || `${plural(known.filter((one) => one !== 0).length, "measure")} changed.`;
}

function replacedStrongest(n, k) {
  if (n === k) return k === 1 ? "Its strongest image was replaced." : `All ${k} of its strongest images were replaced.`;
  return `${n} of its ${k} strongest images ${n === 1 ? "was" : "were"} replaced.`;
}

const RANKS = ["", "", "second ", "third "];

/**
 * Where a filter stands, in words: "the third most changed of 64 filters".
 * @param {import("../data/comparison.js").ChangeRank} rank
 */
export function rankText({ rank, of, equal }) {
  if (rank === 1 && equal > 1) return `one of the ${equal} most changed of ${plural(of, "filter")}`;
  return `the ${RANKS[rank] ?? `${ordinal(rank)} `}most changed of ${plural(of, "filter")}`;
}
