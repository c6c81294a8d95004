/** How the filters of a layer are distributed over values: a small histogram with bins of equal width. */
import d3 from "../vendored/d3.js";
import { count, number, plural } from "../text/format.js";
import { binText, fullestBin } from "./bins.js";
import { barColumns, canvas, horizontalLines, tickLabels } from "./plot.js";

/** @typedef {ReturnType<typeof import("./bins.js").valueBins>} Rows */

/** @typedef {(value: number) => string} Text how to write a value */

/**
 * In words: the fullest bin.
 * @param {Rows} rows
 * @param {Text} [text]
 */
export function fullestText(rows, text = number) {
  const best = fullestBin(rows);
  return `most (${count(best.n)}) have ${binText(best, text)}`;
}

/**
 * In words: what each bar means.
 * @param {Rows} rows
 * @param {Text} [text]
 */
export function valueBinTexts(rows, text = number) {
  return rows.map((row) => `${binText(row, text)}: ${plural(row.n, "filter")}`);
}

const HEIGHT = 76;
const MARGIN = { top: 6, right: 8, bottom: 22, left: 2 };

/**
 * @param {Rows} rows
 * @param {number} width
 * @param {Text} text
 * @returns {SVGElement}
 */
export function valueHistogram(rows, width, text) {
  const { svg, ...range } = canvas(width, HEIGHT, MARGIN);
  const x = d3.scaleLinear([rows[0].from, rows.at(-1).to], range.x);
  const y = d3.scaleLinear([0, d3.max(rows, (row) => row.n)], range.y);
  const columnWidth = (row) => x(row.to) - x(row.from);
  barColumns(svg, rows, { x: (row) => x(row.from), width: columnWidth, y: range.y })
    .append("rect")
    .attr("class", "mark max")
    .attr("x", (row) => x(row.from) + 0.5)
    .attr("width", (row) => Math.max(1, columnWidth(row) - 1))
    .attr("y", (row) => (row.n ? Math.min(y(row.n), y(0) - 1.5) : y(0)))
    .attr("height", (row) => (row.n ? Math.max(1.5, y(0) - y(row.n)) : 0));
  horizontalLines(svg, "axis", range.x, [y(0)]);
  tickLabels(svg, x.ticks(Math.max(2, Math.floor(width / 90))), {
    x,
    y: HEIGHT - 6,
    anchor: (value) => anchor(x(value), width),
    text,
  });
  return svg.node();
}

/** Labels at the ends stay within the plot. */
function anchor(x, width) {
  if (x < 16) return "start";
  return x > width - 24 ? "end" : "middle";
}
