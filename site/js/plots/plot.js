/** What plots share: a container that redraws on resize, margins, an axis with labels, columns to point at. */
import d3 from "../vendored/d3.js";
import { h } from "../dom/dom.js";

/** @typedef {{top: number, right: number, bottom: number, left: number}} Margin */

/**
 * A container whose plot is drawn again when its width changes.
 * @param {string} label what the plot shows, for screen readers
 * @param {(width: number) => SVGElement} draw
 * @param {AbortSignal} signal stops observing
 * @param {"img"|"group"} [role] a group where parts of the plot can have the focus
 */
export function plot(label, draw, signal, role = "img") {
  const container = h("div", { class: "plot", role, "aria-label": label });
  let drawn = 0;
  const observer = new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width === drawn || width < 40) return;
    drawn = width;
    container.replaceChildren(draw(width));
  });
  observer.observe(container);
  signal.addEventListener("abort", () => observer.disconnect(), { once: true });
  return container;
}

/**
 * An SVG, and the ranges of its scales within the margins.
 * @param {number} width
 * @param {number} height
 * @param {Margin} margin
 */
export function canvas(width, height, { top, right, bottom, left }) {
  const svg = d3.create("svg").attr("width", width).attr("height", height);
  return { svg, x: [left, width - right], y: [height - bottom, top] };
}

/**
 * Horizontal lines across the plot.
 * @param {any} svg a d3 selection
 * @param {string} tone a class of the stylesheet
 * @param {number[]} range from left to right
 * @param {number[]} heights where the lines are
 */
export function horizontalLines(svg, tone, [left, right], heights) {
  svg
    .append("g")
    .selectAll("line")
    .data(heights)
    .join("line")
    .attr("class", tone)
    .attr("x1", left)
    .attr("x2", right)
    .attr("y1", (y) => y)
    .attr("y2", (y) => y);
}

/**
 * Labels of an axis, hidden from screen readers, which read the plot's label.
 * @template T
 * @param {any} svg a d3 selection
 * @param {T[]} ticks
 * @param {object} options
 * @param {number|((tick: T) => number)} options.x
 * @param {number|((tick: T) => number)} options.y
 * @param {string|((tick: T) => string)} options.anchor
 * @param {(tick: T) => string} options.text
 */
export function tickLabels(svg, ticks, { x, y, anchor, text }) {
  return svg
    .append("g")
    .attr("aria-hidden", "true")
    .selectAll("text")
    .data(ticks)
    .join("text")
    .attr("class", "figure")
    .attr("x", x)
    .attr("y", y)
    .attr("text-anchor", anchor)
    .text(text);
}

/**
 * A group for each bar, with a column that responds to the pointer however low the bar is.
 * @template T
 * @param {any} svg a d3 selection
 * @param {T[]} rows
 * @param {object} column
 * @param {(row: T) => number} column.x
 * @param {number|((row: T) => number)} column.width
 * @param {number[]} column.y from bottom to top
 */
export function barColumns(svg, rows, { x, width, y: [bottom, top] }) {
  const bar = svg.selectAll("g.bin").data(rows).join("g").attr("class", "bin");
  bar
    .append("rect")
    .attr("class", "hit-area")
    .attr("x", x)
    .attr("width", width)
    .attr("y", top)
    .attr("height", bottom - top);
  return bar;
}
