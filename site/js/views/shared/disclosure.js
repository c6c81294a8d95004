/** Controls that are collapsed in a narrow window, behind a line that says their state. */
import { h } from "../../dom/dom.js";

/**
 * @param {string} label
 * @param {HTMLElement} content
 * @param {AbortSignal} signal stops observing the width
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
  // In a wide window the stylesheet hides the line.
  wide.addEventListener("change", ({ matches }) => (node.open = matches), { signal });
  return {
    node,
    /** @param {Array<string|null>} parts the state of the controls */
    setState(parts) {
      state.textContent = parts.filter((part) => part !== null).join(", ");
    },
  };
}
