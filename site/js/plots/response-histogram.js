/** How many images have their strongest response in which bin. Bins are drawn equally wide. */
import d3 from "../vendored/d3.js";
import { count, number, plural } from "../text/format.js";
import { barColumns } from "./bar-readout.js";

/**
 * The bins to draw: from the first to the last that holds an image, with empty ones between. Pure.
 * @param {Array<[number, number]>} distribution pairs of bin and number of images
 * @param {number[]} edges n borders make n + 1 bins
 * @returns {Array<{bin: number, from: number, to: number, images: number}>}
 */
export function responseBins(distribution, edges) {
  if (!distribution.length) return [];
  const held = new Map(distribution);
  const first = Math.max(0, Math.min(...held.keys()) - 1);
  const last = Math.min(edges.length, Math.max(...held.keys()) + 1);
  return Array.from({ length: last - first + 1 }, (_, i) => {
    const bin = first + i;
    return {
      bin,
      from: bin === 0 ? -Infinity : edges[bin - 1],
      to: bin === edges.length ? Infinity : edges[bin],
      images: held.get(bin) ?? 0,
    };
  });
}

/** In words: where a bin lies. */
export function rangeText({ from, to }) {
  if (from === -Infinity) return `below ${number(to)}`;
  if (to === Infinity) return `${number(from)} or more`;
  return `${number(from)} to ${number(to)}`;
}

/** In words: what each bar stands for. */
export function binTexts(rows) {
  return rows.map((row) => `${rangeText(row)}: ${plural(row.images, "image")}`);
}

/**
 * @param {ReturnType<typeof responseBins>} rows
 * @param {number} width
 * @returns {SVGElement}
 */
export function responseHistogram(rows, width) {
  const height = 200;
  const margin = { top: 12, right: 14, bottom: 40, left: 40 };
  const x = d3
    .scaleBand()
    .domain(rows.map((row) => row.bin))
    .range([margin.left, width - margin.right])
    .paddingInner(rows.length > 60 ? 0 : 0.12);
  const y = d3
    .scaleLinear()
    .domain([0, d3.max(rows, (row) => row.images)])
    .nice(4)
    .range([height - margin.bottom, margin.top]);
  const svg = d3.create("svg").attr("width", width).attr("height", height);
  const ticks = y.ticks(4).filter(Number.isInteger);
  svg
    .append("g")
    .selectAll("line")
    .data(ticks)
    .join("line")
    .attr("class", "rule")
    .attr("x1", margin.left)
    .attr("x2", width - margin.right)
    .attr("y1", y)
    .attr("y2", y);
  svg
    .append("g")
    .attr("aria-hidden", "true")
    .selectAll("text")
    .data(ticks)
    .join("text")
    .attr("class", "figure")
    .attr("x", margin.left - 8)
    .attr("y", y)
    .attr("dy", "0.35em")
    .attr("text-anchor", "end")
    .text(count);
  barColumns(svg, rows, { x: (row) => x(row.bin), width: x.step(), top: margin.top, bottom: height - margin.bottom })
    .append("rect")
    .attr("class", (row) => `mark ${row.to <= 0 ? "off" : "max"}`)
    .attr("x", (row) => x(row.bin))
    .attr("width", Math.max(1, x.bandwidth()))
    .attr("y", (row) => y(row.images))
    .attr("height", (row) => y(0) - y(row.images));
  // A border belongs between two bars: the right side of its lower bin.
  const borders = rows.slice(0, -1);
  const zero = borders.findIndex((row) => row.to >= 0);
  const every = Math.max(1, Math.ceil((borders.length * 52) / (width - margin.left - margin.right)));
  const shown = borders.filter((_, i) => (i - Math.max(0, zero)) % every === 0);
  const at = (row) => x(row.bin) + x.bandwidth() + (x.step() - x.bandwidth()) / 2;
  const axis = svg
    .append("g")
    .attr("aria-hidden", "true")
    .attr("transform", `translate(0,${height - margin.bottom})`);
  axis
    .append("line")
    .attr("class", "axis")
    .attr("x1", margin.left)
    .attr("x2", width - margin.right);
  const tick = axis
    .selectAll("g")
    .data(shown)
    .join("g")
    .attr("transform", (row) => `translate(${at(row)},0)`);
  tick.append("line").attr("class", "axis").attr("y2", 5);
  tick
    .append("text")
    .attr("class", "figure")
    .attr("y", 17)
    .attr("text-anchor", "middle")
    .text((row) => number(row.to, 2));
  axis
    .append("text")
    .attr("class", "name")
    .attr("x", width - margin.right)
    .attr("y", 35)
    .attr("text-anchor", "end")
    .text("strongest response in the image \u2192");
  return svg.node();
}
