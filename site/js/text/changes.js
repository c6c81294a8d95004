/** What changed, in plain words. Pure. */
import { number, percent, plural } from "./format.js";

const MINUS = "\u2212";

/**
 * A value of a measure, with its sign where that says more or less.
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

/** A correlation or a cosine; what is not equal is not told to be. */
export function correlationText(value) {
  if (value > 0.99 && value < 1) return "over 0.99";
  const text = Math.abs(value).toFixed(2);
  return value < 0 && Number(text) !== 0 ? MINUS + text : text;
}

const alike = (change) => correlationText(1 - change);

/** So much, as a share; more than all of it as times. */
function part(value) {
  return value > 2 ? `${number(value, 2)} times` : percent(value);
}

const moreOrLess = (value) => (value > 0 ? "higher" : "lower");

/** How many of a list of `k` a share stands for. */
function ofList(value, k, which) {
  const n = Math.round(value * k);
  return `${n} of its ${k} ${which} ${n === 1 ? "is another" : "are others"} after.`;
}

/** By measure: a sentence for a value that is not 0. `k` is the length of lists; `partner` a filter and a correlation. */
const SENTENCES = {
  maps: (v) => `Its maps before and after correlate at ${alike(v)}, over all images and places.`,
  means: (v) => `Image by image, its mean activation before and after correlates at ${alike(v)}.`,
  maxima: (v) => `Image by image, its highest activation before and after correlates at ${alike(v)}.`,
  difference: (v) => `Its maps lie apart by ${part(v)} ${v > 2 ? "" : "of "}how much they varied before.`,
  partner: (v, { partner, channel }) =>
    partner && partner[0] !== channel
      ? `After, filter ${partner[0]} is most like it: their maps correlate at ${alike(v)}.`
      : `Its maps and those of the filter that is most like it after correlate at ${alike(v)}.`,
  weights: (v) => `Its weights moved by ${part(v)} ${v > 2 ? "" : "of "}their length.`,
  direction: (v) => `The cosine between its weights before and after is ${alike(v)}.`,
  cross: (v) =>
    v < 1
      ? `Each network\u2019s filter answers the other\u2019s filter image less than its own, by ${percent(v)} on average.`
      : "On average, the two filters do not answer each other\u2019s filter image.",
  top_max: (v, { k }) => ofList(v, k, "strongest images"),
  top_avg: (v, { k }) => ofList(v, k, "images that are highest on average"),
  rank_max: (v) => `The order of its strongest images before and after correlates at ${alike(v)}.`,
  rank_avg: (v) => `The order of the images that are highest on average correlates at ${alike(v)}.`,
  classes_max: (v) => `By strongest response, ${percent(v)} of its class profile moved to other classes.`,
  classes_avg: (v) => `By mean response, ${percent(v)} of its class profile moved to other classes.`,
  mean_shift: (v) => `Its mean activation is ${number(Math.abs(v), 2)} standard deviations ${moreOrLess(v)} after.`,
  max_shift: (v) => `Its highest activations are ${number(Math.abs(v), 2)} standard deviations ${moreOrLess(v)} after.`,
  active: (v) =>
    `The share of images that activate it is ${number(100 * Math.abs(v), 2)} percentage points ${moreOrLess(v)} after.`,
  selectivity: (v) => `Its class selectivity is ${number(Math.abs(v), 2)} ${moreOrLess(v)} after.`,
  embed_image: (v) => `In the eyes of a third network, the cosine of its two filter images is ${alike(v)}.`,
  embed_crops: (v) => `In the eyes of a third network, the cosine of its crops before and after is ${alike(v)}.`,
};

/**
 * A measure's value in a sentence.
 * @param {{name: string, says: string}} measure
 * @param {number|null} value
 * @param {{k: number, partner: [number, number]|null, channel: number}} filter
 */
export function measureSentence(measure, value, filter) {
  if (value === null) return "Not defined for this filter, or it could not be computed.";
  if (value === 0) return "Nothing changed.";
  return SENTENCES[measure.name]?.(value, filter) ?? `${measure.says}: ${number(value, 2)}.`;
}

/** What a correlation of maps means, from the most to the least alike. */
const VERDICTS = [
  [0.99, "It responds almost exactly as before"],
  [0.9, "It responds much as before"],
  [0.6, "It responds only partly as before"],
  [0.2, "It responds to little of what it did before"],
  [-1, "It responds to other things than before"],
];

/**
 * What became of a filter, in a few sentences.
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
  if (!known.length) return "Nothing can be said of this filter: no measure is defined for it.";
  if (known.every((one) => one === 0)) return "Nothing changed in this filter, by any measure.";
  const told = [];
  const maps = value("maps");
  if (maps === 0) told.push("Its maps are the same on every image.");
  else if (maps !== null) {
    const [, words] = VERDICTS.find(([least]) => 1 - maps >= least) ?? VERDICTS.at(-1);
    told.push(`${words}: its maps correlate at ${alike(maps)}.`);
  }
  const top = value("top_max");
  if (top !== null) told.push(top === 0 ? "Its strongest images are the same." : ofTop(Math.round(top * k), k));
  return told.join(" ") || `${plural(known.filter((one) => one !== 0).length, "measure")} changed.`;
}

function ofTop(others, k) {
  if (others === k) return k === 1 ? "Its strongest image is another." : `All ${k} of its strongest images are others.`;
  return `${others} of its ${k} strongest images ${others === 1 ? "is another" : "are others"}.`;
}

const ORDINALS = ["", "", "second ", "third "];

/**
 * Where a filter stands, in words: "the third most changed of 64".
 * @param {{place: number, of: number, equal: number}} standing
 */
export function rankText({ place, of, equal }) {
  if (place === 1 && equal > 1) return `one of the ${equal} most changed of ${plural(of, "filter")}`;
  const words = ORDINALS[place] ?? `${place}${ending(place)} `;
  return `the ${words}most changed of ${plural(of, "filter")}`;
}

function ending(n) {
  if (n % 100 >= 11 && n % 100 <= 13) return "th";
  return { 1: "st", 2: "nd", 3: "rd" }[n % 10] ?? "th";
}
