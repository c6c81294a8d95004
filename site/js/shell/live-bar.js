/** What a run is at, in a strip at the foot of the window. */
import { h } from "../dom/dom.js";
import { progressText } from "../data/live.js";

export function liveBar() {
  // Only what is being done is announced: the figures change every second.
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

  function put(said, more, share, state) {
    if (text.textContent !== said) text.textContent = said;
    detail.textContent = more;
    done.hidden = share === null;
    if (share !== null) done.value = share;
    node.dataset.state = state;
  }

  return {
    node,
    /**
     * @param {import("../data/live.js").Live|null} live null where the server does not answer
     * @param {string|null} network the one that is looked at
     * @param {number} quiet for how long nothing has changed, in ms
     */
    show(live, network, quiet) {
      if (!live) put("The server does not answer", "what it sent is still shown", null, "rests");
      else {
        const { text: said, detail: more, share, state } = progressText(live, network, quiet);
        put(said, more, share, state);
      }
    },
  };
}
