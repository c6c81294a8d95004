/** Links to comparisons of networks. */
import { h } from "../../dom/dom.js";
import { truncate } from "../../text/format.js";
import { networkLabels } from "../../data/manifest.js";
import { formatRoute } from "../../data/route.js";

/**
 * @param {string} label
 * @param {Array<{name: string, title: string}>} list
 * @returns {HTMLElement|null} null for an empty list
 */
export function comparisonsNav(label, list) {
  if (!list.length) return null;
  const labels = networkLabels(list);
  return h(
    "nav",
    { class: "by-class", "aria-label": "Comparisons" },
    h("span", { class: "by-class-label" }, label),
    h(
      "ul",
      null,
      list.map(({ name }, i) =>
        h(
          "li",
          null,
          h("a", { class: "chip", href: formatRoute({ comparison: name }), title: labels[i] }, truncate(labels[i], 60)),
        ),
      ),
    ),
  );
}
