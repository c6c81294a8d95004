/** How many images have their strongest response in which bin. Bins are drawn equally wide. */
import d3 from "../vendored/d3.js";
import { count, number, plural } from "../text/format.js";
import { binText } from "./bins.js";
import { barColumns, canvas, horizontalLines, tickLabels } from "./plot.js";

/** @import { Bin } from "./bins.js" */

/**
 * In words: what each bar means.
 * @param {Bin[]} rows
 */
export function responseBinTexts(rows) {
  return rows.map((row) => `${binText(row)}: ${plural(row.n, "image")}`);
}

const HEIGHT = 200;
const MARGIN = { top: 12, right: 14, bottom: 40, left: 40 };
/** The least width of a label of the horizontal axis. */
const LABEL = 52;

/**
 * @param {Bin[]} rows
 * @param {number} width
 * @returns {SVGElement}
 */
export function responseHistogram(rows, width) {
  const { svg, ...range } = canvas(width, HEIGHT, MARGIN);
  const [left, right] = range.x;
  const [bottom] = range.y;
  const x = d3
    .scaleBand(
      rows.map((row) => row.from),
      range.x,
    )
    .paddingInner(rows.length > 60 ? 0 : 0.12);
  const y = d3.scaleLinear([0, d3.max(rows, (row) => row.n)], range.y).nice(4);
  const ticks = y.ticks(4).filter(Number.isInteger);
  horizontalLines(svg, "rule", range.x, ticks.map(y));
  tickLabels(svg, ticks, { x: left - 8, y, anchor: "end", text: count }).attr("dy", "0.35em");
  barColumns(svg, rows, { x: (row) => x(row.from), width: x.step(), y: range.y })
    .append("rect")
    .attr("class", (row) => `mark ${row.to <= 0 ? "off" : "max"}`)
    .attr("x", (row) => x(row.from))
    .attr("width", Math.max(1, x.bandwidth()))
    .attr("y", (row) => y(row.n))
    .attr("height", (row) => y(0) - y(row.n));
  // An edge lies between two bars; labels are spread so that one of them is at zero.
  const edges = rows.slice(0, -1);
  const zero = Math.max(
    0,
    edges.findIndex((row) => row.to >= 0),
  );
  const every = Math.max(1, Math.ceil((edges.length * LABEL) / (right - left)));
  const labelled = edges.filter((_, i) => (i - zero) % every === 0);
  const at = (row) => x(row.from) + (x.step() + x.bandwidth()) / 2;
  horizontalLines(svg, "axis", range.x, [bottom]);
  svg
    .append("g")
    .selectAll("line")
    .data(labelled)
    .join("line")
    .attr("class", "axis")
    .attr("x1", at)
    .attr("x2", at)
    .attr("y1", bottom)
    .attr("y2", bottom + 5);
  tickLabels(svg, labelled, { x: at, y: bottom + 17, anchor: "middle", text: (row) => number(row.to, 2) });
  tickLabels(svg, ["strongest response in the image \u2192"], {
    x: right,
    y: bottom + 35,
    anchor: "end",
    text: (text) => text,
  }).attr("class", "name");
  return svg.node();
}
