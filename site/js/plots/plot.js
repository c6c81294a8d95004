/** A place for a plot that is drawn again when its width changes. */
import { h } from "../dom/dom.js";

/**
 * @param {string} label what the plot shows, for those who do not see it
 * @param {(width: number) => SVGElement} draw
 * @param {AbortSignal} signal ends the watching
 * @param {"img"|"group"} [role] a group where parts of the plot can be reached, an image otherwise
 */
export function plot(label, draw, signal, role = "img") {
  const place = h("div", { class: "plot", role, "aria-label": label });
  let last = 0;
  const watch = new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width === last || width < 40) return;
    last = width;
    place.replaceChildren(draw(width));
  });
  watch.observe(place);
  signal.addEventListener("abort", () => watch.disconnect(), { once: true });
  return place;
}
