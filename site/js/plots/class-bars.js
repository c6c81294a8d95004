/** Horizontal bars, one a class, each of which can be pointed at or focused. */
import d3 from "../vendored/d3.js";
import { truncate, number } from "../text/format.js";

const ROW = 26;
/** The widest that a digit of a figure gets, in px. */
const LETTER = 7.8;

/**
 * @param {Array<{label: string, value: number}>} rows
 * @param {number} width
 * @param {string} tone a class of the stylesheet
 * @param {string} controls id of what a bar changes
 * @returns {SVGElement} with one `g.class-bar` a row, in order
 */
export function classBars(rows, width, tone, controls) {
  const names = Math.min(190, Math.max(84, width * 0.34));
  const figures = Math.max(56, 10 + LETTER * d3.max(rows, (row) => number(row.value).length));
  const letters = Math.floor(names / 7.8);
  const height = rows.length * ROW;
  const x = d3
    .scaleLinear()
    .domain([
      Math.min(
        0,
        d3.min(rows, (row) => row.value),
      ),
      Math.max(
        0,
        d3.max(rows, (row) => row.value),
      ),
    ])
    .range([names + 10, width - figures]);
  const svg = d3.create("svg").attr("width", width).attr("height", height);
  const row = svg
    .selectAll("g")
    .data(rows)
    .join("g")
    .attr("class", "class-bar")
    .attr("role", "button")
    .attr("tabindex", "-1")
    .attr("aria-controls", controls)
    .attr("data-index", (_, i) => i)
    .attr("transform", (_, i) => `translate(0,${i * ROW})`);
  // All of a row answers to the pointer, however short its bar is.
  row.append("rect").attr("class", "hit-area").attr("width", width).attr("height", ROW).attr("rx", 5);
  row
    .append("text")
    .attr("class", "name")
    .attr("x", names)
    .attr("y", ROW / 2)
    .attr("dy", "0.35em")
    .attr("text-anchor", "end")
    .text((d) => `${truncate(d.label, letters)} `) // the space parts the name from the figure when read aloud
    .filter((d) => d.label.length > letters)
    .append("title")
    .text((d) => d.label);
  row
    .append("rect")
    .attr("class", (d) => `mark ${tone}${d.value < 0 ? " below" : ""}`)
    .attr("x", (d) => Math.min(x(0), x(d.value)))
    .attr("y", 5)
    .attr("height", ROW - 10)
    .attr("width", (d) => Math.max(1, Math.abs(x(d.value) - x(0))))
    .attr("rx", 2);
  row
    .append("text")
    .attr("class", "figure")
    .attr("x", (d) => Math.max(x(0), x(d.value)) + 6)
    .attr("y", ROW / 2)
    .attr("dy", "0.35em")
    .text((d) => number(d.value));
  return svg.node();
}
