/** The progress of a run, in a bar at the bottom of the window. */
import { h } from "../dom/dom.js";
import { progressText } from "../data/live.js";

export function liveBar() {
  // Screen readers announce the work only: the numbers change every second.
  const text = h("p", { class: "live-text", role: "status" });
  const detail = h("span", { class: "live-detail" });
  const done = h("progress", { class: "live-share", max: 1, "aria-label": "Share that is done", hidden: true });
  const node = h(
    "aside",
    { class: "live", "aria-label": "Progress" },
    h("span", { class: "live-dot", "aria-hidden": "true" }),
    text,
    detail,
    done,
  );

  function put({ text: work, detail: numbers, share, state }) {
    if (text.textContent !== work) text.textContent = work;
    detail.textContent = numbers;
    done.hidden = share === null;
    if (share !== null) done.value = share;
    node.dataset.state = state;
  }

  return {
    node,
    /**
     * @param {import("../types.js").Live|null} live null if the server does not answer
     * @param {string|null} network the one that the visitor looks at
     * @param {number} quiet for how long nothing has changed, in ms
     */
    show(live, network, quiet) {
      const lost = {
        text: "The server does not answer",
        detail: "what it sent is still shown",
        share: null,
        state: "rests",
      };
      put(live ? progressText(live, network, quiet) : lost);
    },
  };
}
