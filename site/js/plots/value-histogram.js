/** How values are spread: a small histogram with even bins. */
import d3 from "../vendored/d3.js";
import { count, number, plural } from "../text/format.js";
import { barColumns } from "./bar-readout.js";

/** The nearest larger step that reads well: 1, 2 or 5 times a power of ten. */
function roundStep(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  return [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= step * (1 - 1e-9));
}

/** The value that nine tenths of the others do not exceed. */
function ninth(values) {
  return values.slice().sort((a, b) => a - b)[Math.floor((values.length - 1) * 0.9)];
}

/** In words: where a bin lies. */
function rangeOf({ from, to, more }, text) {
  return more ? `${text(from)} or more` : `${text(from)} to ${text(to)}`;
}

/**
 * Even bins with round borders over the known values. Pure.
 * @param {Array<number|null|undefined>} values those that are no finite number are left out
 * @param {object} [options]
 * @param {[number, number]|null} [options.domain] the range to cover; by default that of the values
 * @param {number} [options.most] how many bins at most
 * @param {boolean} [options.clip] whether a few far higher values share the last bin, so that the rest is seen
 * @returns {Array<{from: number, to: number, n: number, more: boolean}>} empty where there is no value; `more`
 *   where the bin also holds what is higher
 */
export function valueBins(values, { domain = null, most = 20, clip = false } = {}) {
  const known = values.filter((value) => Number.isFinite(value));
  if (!known.length) return [];
  const low = domain ? domain[0] : known.reduce((a, b) => Math.min(a, b));
  const highest = domain ? domain[1] : known.reduce((a, b) => Math.max(a, b));
  const high = clip ? Math.min(highest, low + 3 * (ninth(known) - low) || highest) : highest;
  const step = roundStep((high - low || Math.abs(high) || 1) / (domain ? most : most - 1));
  const first = Math.floor(low / step + 1e-9);
  const bins = Math.max(1, Math.ceil(high / step - 1e-9) - first);
  const rows = Array.from({ length: bins }, (_, i) => ({
    // Division by the inverse keeps 0.15 from becoming 0.15000000000000002.
    from: step < 1 ? (first + i) / Math.round(1 / step) : (first + i) * step,
    to: step < 1 ? (first + i + 1) / Math.round(1 / step) : (first + i + 1) * step,
    n: 0,
    more: i === bins - 1 && highest > high,
  }));
  // The highest value belongs to the last bin, though it may lie on its border.
  for (const value of known) rows[Math.max(0, Math.min(bins - 1, Math.floor(value / step + 1e-9) - first))].n += 1;
  return rows;
}

/** In words: the fullest bin. */
export function fullestText(rows, text = number) {
  const best = fullestBin(rows);
  return `most (${count(best.n)}) have ${rangeOf(best, text)}`;
}

/** In words: what each bar stands for. */
export function valueBinTexts(rows, text = number) {
  return rows.map((row) => `${rangeOf(row, text)}: ${plural(row.n, "filter")}`);
}

/**
 * @param {ReturnType<typeof valueBins>} rows
 * @param {number} width
 * @param {(value: number) => string} text how to write a value
 * @returns {SVGElement}
 */
export function valueHistogram(rows, width, text) {
  const height = 76;
  const margin = { top: 6, right: 8, bottom: 22, left: 2 };
  const x = d3
    .scaleLinear()
    .domain([rows[0].from, rows.at(-1).to])
    .range([margin.left, width - margin.right]);
  const top = d3.max(rows, (row) => row.n);
  const y = d3
    .scaleLinear()
    .domain([0, top])
    .range([height - margin.bottom, margin.top]);
  const svg = d3.create("svg").attr("width", width).attr("height", height);
  const bar = barColumns(svg, rows, {
    x: (row) => x(row.from),
    width: (row) => x(row.to) - x(row.from),
    top: margin.top,
    bottom: height - margin.bottom,
  });
  bar
    .append("rect")
    .attr("class", "mark max")
    .attr("x", (row) => x(row.from) + 0.5)
    .attr("width", (row) => Math.max(1, x(row.to) - x(row.from) - 1))
    .attr("y", (row) => (row.n ? Math.min(y(row.n), y(0) - 1.5) : y(0)))
    .attr("height", (row) => (row.n ? Math.max(1.5, y(0) - y(row.n)) : 0));
  svg
    .append("line")
    .attr("class", "axis")
    .attr("x1", margin.left)
    .attr("x2", width - margin.right)
    .attr("y1", y(0))
    .attr("y2", y(0));
  svg
    .append("g")
    .attr("aria-hidden", "true")
    .selectAll("text")
    .data(x.ticks(Math.max(2, Math.floor(width / 90))))
    .join("text")
    .attr("class", "figure")
    .attr("x", x)
    .attr("y", height - 6)
    .attr("text-anchor", (value) => anchor(x(value), width))
    .text(text);
  return svg.node();
}

/** The fullest bin. */
export function fullestBin(rows) {
  return rows.reduce((one, row) => (row.n > one.n ? row : one));
}

/** Figures at the ends stay within the plot. */
function anchor(x, width) {
  if (x < 16) return "start";
  return x > width - 24 ? "end" : "middle";
}
