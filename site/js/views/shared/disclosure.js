/** Controls that are folded away where the window is narrow, behind a line that says how they stand. */
import { h } from "../../dom/dom.js";

/**
 * @param {string} label
 * @param {HTMLElement} content
 * @param {AbortSignal} signal ends the watching
 */
export function disclosure(label, content, signal) {
  const wide = matchMedia("(min-width: 641px)");
  const state = h("span", { class: "disclosure-state" });
  const node = h(
    "details",
    { class: "disclosure", open: wide.matches },
    h("summary", null, label, ": ", state),
    content,
  );
  // Where there is room they are simply there: the stylesheet takes the line away.
  wide.addEventListener("change", ({ matches }) => (node.open = matches), { signal });
  return {
    node,
    /** @param {Array<string|null>} parts how the controls stand */
    say(parts) {
      state.textContent = parts.filter((part) => part !== null).join(", ");
    },
  };
}
