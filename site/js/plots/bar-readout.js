/** A histogram whose bars say what they stand for: to a pointer, a finger, and by keys. */
import { h } from "../dom/dom.js";
import { rovingTabindex } from "../dom/roving-tabindex.js";
import { plot } from "./plot.js";

/**
 * @param {object} options
 * @param {string} options.label what the plot shows, for those who do not see it
 * @param {string} options.usual what the line says while no bar is pointed at
 * @param {string[]} options.words what each bar stands for
 * @param {number} options.first the bar that keys come to first
 * @param {(width: number) => SVGElement} options.draw draws one `g.bin` a bar, in order, see `bin`
 * @param {AbortSignal} options.signal
 * @returns {HTMLElement[]} the line, and below it the plot
 */
export function barReadout({ label, usual, words, first, draw, signal }) {
  // Bars have names of their own, so that reading the line aloud as well would say all twice.
  const line = h("p", { class: "readout", "aria-hidden": "true" }, usual);
  const bins = () => [...chart.querySelectorAll(".bin")];
  const chart = plot(
    `${label}: ${usual}`,
    (width) => {
      const svg = draw(width);
      svg.querySelectorAll(".bin").forEach((bar, i) => {
        bar.setAttribute("role", "img");
        bar.setAttribute("aria-label", words[i]);
        bar.setAttribute("tabindex", i === first ? "0" : "-1");
      });
      return svg;
    },
    signal,
    "group",
  );
  rovingTabindex(chart, bins);
  const say = (bar) => {
    const at = bins().indexOf(bar);
    line.textContent = at < 0 ? usual : words[at];
  };
  for (const type of ["pointerover", "focusin", "click"]) {
    chart.addEventListener(type, ({ target }) => say(target.closest?.(".bin")));
  }
  chart.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && say(document.activeElement));
  chart.addEventListener("focusout", () => say(null));
  return [line, chart];
}

/**
 * The groups of bars, each with a column that answers to the pointer however low its bar is.
 * @param {any} svg a d3 selection
 * @param {any[]} rows
 * @param {{x: (row: any) => number, width: (row: any) => number, top: number, bottom: number}} column
 */
export function barColumns(svg, rows, { x, width, top, bottom }) {
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
