/** The way to the comparisons of networks. */
import { h } from "../dom.js";
import { cut } from "../format.js";
import { networkLabels } from "../manifest.js";
import { format } from "../state.js";

/**
 * @param {Array<{name: string, title: string}>} list
 * @param {string|null} current the comparison that is shown
 * @returns {HTMLElement|null} null where there is nothing to go to
 */
export function comparisonsNav(list, current = null) {
  if (!list.some(({ name }) => name !== current)) return null;
  const labels = networkLabels(list);
  return h(
    "nav",
    { class: "by-class", "aria-label": "Comparisons" },
    h("span", { class: "by-class-label" }, "What changed"),
    h(
      "ul",
      null,
      list.map(({ name }, i) =>
        h(
          "li",
          null,
          h("a", { class: "chip", href: format({ comparison: name }), title: labels[i], "aria-current": name === current ? "page" : null }, cut(labels[i], 60)),
        ),
      ),
    ),
  );
}
