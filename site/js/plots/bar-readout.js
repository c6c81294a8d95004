/** A histogram with a line of text that says what the bar under the pointer, or with the focus, means. */
import { closest, h } from "../dom/dom.js";
import { rovingTabindex } from "../dom/roving-tabindex.js";
import { plot } from "./plot.js";

/**
 * @param {object} options
 * @param {string} options.label what the plot shows, for screen readers
 * @param {string} options.usual the text while no bar is pointed at
 * @param {string[]} options.words what each bar means
 * @param {number} options.first the bar that is in the tab order at first
 * @param {(width: number) => SVGElement} options.draw draws one `g.bin` for each bar, in order, see `barColumns`
 * @param {(index: number) => void} [options.onBar] called with the bar that is pointed at; -1 for none
 * @param {AbortSignal} options.signal
 * @returns {HTMLElement[]} the text, and below it the plot
 */
export function barReadout({ label, usual, words, first, draw, onBar, signal }) {
  // Hidden from screen readers: the bars have labels of their own.
  const line = h("p", { class: "readout", "aria-hidden": "true" }, usual);
  const bars = () => /** @type {SVGElement[]} */ ([...chart.querySelectorAll(".bin")]);
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
  rovingTabindex(chart, bars);
  const describe = (bar) => {
    const at = bars().indexOf(bar);
    line.textContent = at < 0 ? usual : words[at];
    onBar?.(at);
  };
  for (const type of ["pointerover", "focusin", "click"]) {
    chart.addEventListener(type, (event) => describe(closest(event, ".bin")));
  }
  chart.addEventListener(
    "pointerleave",
    ({ pointerType }) => pointerType === "mouse" && describe(document.activeElement),
  );
  chart.addEventListener("focusout", () => describe(null));
  return [line, chart];
}
