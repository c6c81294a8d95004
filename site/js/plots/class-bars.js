/** Horizontal bars, one for each class; each can be pointed at or focused. */
import d3 from "../vendored/d3.js";
import { number, truncate } from "../text/format.js";
import { canvas } from "./plot.js";

const ROW = 26;
/** The width of a character, in px, at most. */
const CHARACTER = 7.8;

/**
 * @param {Array<{label: string, value: number}>} rows
 * @param {number} width
 * @param {string} tone a class of the stylesheet
 * @param {string} controls id of what a bar changes
 * @returns {SVGElement} with one `g.class-bar` for each row, in order
 */
export function classBars(rows, width, tone, controls) {
  const names = Math.min(190, Math.max(84, width * 0.34));
  const figures = Math.max(56, 10 + CHARACTER * d3.max(rows, (row) => number(row.value).length));
  const letters = Math.floor(names / CHARACTER);
  const { svg, ...range } = canvas(width, rows.length * ROW, { top: 0, right: figures, bottom: 0, left: names + 10 });
  const x = d3.scaleLinear(d3.extent([0, ...rows.map((row) => row.value)]), range.x);
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
  // The whole row responds to the pointer, however short the bar is.
  row.append("rect").attr("class", "hit-area").attr("width", width).attr("height", ROW).attr("rx", 5);
  row
    .append("text")
    .attr("class", "name")
    .attr("x", names)
    .attr("y", ROW / 2)
    .attr("dy", "0.35em")
    .attr("text-anchor", "end")
    .text((d) => `${truncate(d.label, letters)} `) // the space separates name and figure for screen readers
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
