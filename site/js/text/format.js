/** Numbers and words for people to read. Uses no DOM. */

const MINUS = "\u2212";

/**
 * A number with about three significant digits and a true minus sign.
 * @param {number|null|undefined} value
 * @param {number} [digits]
 */
export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "\u2013";
  const size = Math.abs(value);
  let text;
  if (size === 0) text = "0";
  else if (size >= 1e6 || size < 1e-4) text = size.toExponential(Math.max(0, digits - 1));
  else {
    const whole = Math.floor(Math.log10(size)) + 1;
    text = size.toFixed(Math.min(6, Math.max(0, digits - whole)));
    if (whole >= 5) text = count(Math.round(size));
  }
  return value < 0 && Number(text) !== 0 ? MINUS + text : text;
}

/**
 * The terms of a sum with one number of decimals, so that they add up to the eye, without signs.
 * @param {number[]} values
 */
export function terms(values) {
  const largest = Math.max(...values.map(Math.abs));
  if (!(largest >= 1e-3 && largest < 1e6)) return values.map((value) => number(Math.abs(value)));
  const decimals = Math.min(6, Math.max(0, 3 - Math.floor(Math.log10(largest))));
  return values.map((value) => Math.abs(value).toFixed(decimals));
}

/**
 * A whole number with thin spaces between thousands.
 * @param {number} value
 */
export function count(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/**
 * A share as a percentage; 0 % and 100 % only where that is exact.
 * @param {number} share
 */
export function percent(share) {
  const value = share * 100;
  if (value > 0 && value < 0.1) return "< 0.1\u202f%";
  if (value < 100 && value > 99.9) return "> 99.9\u202f%";
  const text = value === 0 || value === 100 || (value >= 10 && value < 99.5) ? value.toFixed(0) : value.toFixed(1);
  return `${text}\u202f%`;
}

/**
 * "1 image", "2 images".
 * @param {number} n
 * @param {string} singular
 * @param {string} [many]
 */
export function plural(n, singular, many = `${singular}s`) {
  return `${count(n)} ${n === 1 ? singular : many}`;
}

const SUFFIXES = { one: "st", two: "nd", few: "rd", other: "th" };
const ORDINALS = new Intl.PluralRules("en", { type: "ordinal" });

/**
 * "1st", "2nd", "11th", "21st".
 * @param {number} n
 */
export function ordinal(n) {
  return `${n}${SUFFIXES[ORDINALS.select(n)]}`;
}

/**
 * Truncate a long name at its end.
 * @param {string} text
 * @param {number} [most] characters
 */
export function truncate(text, most = 60) {
  const letters = Array.from(text);
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}\u2026` : text;
}

/**
 * Truncate a layer's long name at its start, if possible after a dot: names of layers differ at their end.
 * @param {string} name
 * @param {number} [most] characters
 */
export function truncateStart(name, most = 32) {
  const letters = Array.from(name);
  if (letters.length <= most) return name;
  const rest = letters.slice(1 - most).join("");
  const dot = rest.indexOf(".");
  return `\u2026${dot >= 0 && dot < rest.length / 2 ? rest.slice(dot + 1) : rest}`;
}

/**
 * A size as "3 × 3"; without one, "whole input".
 * @param {number[]|null|undefined} size
 */
export function sizeText(size) {
  return size ? size.join("\u202f×\u202f") : "whole input";
}
