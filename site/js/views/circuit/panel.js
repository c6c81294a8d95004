/** What is known of the node of a circuit that the visitor chose, and what can be done with it. */
import { h, replace } from "../../dom/dom.js";
import { frame } from "../../dom/pictures.js";
import { preserveFocus } from "../../dom/preserve-view.js";
import { filterKey } from "../../data/circuit-tree.js";
import { formatRoute } from "../../data/route.js";
import { kernelPicture } from "../../plots/kernel.js";
import { number, plural, truncate, truncateStart } from "../../text/format.js";
import { balanceSum } from "../shared/balance.js";
import { signedPercent } from "../filter/circuit-rows.js";

/** @import { TreeNode } from "../../data/circuit-tree.js" */
/** @import { Circuit, Kernel, Layer, Route } from "../../types.js" */

/** @param {Pick<TreeNode, "layer"|"channel">} filter */
const shortName = ({ layer, channel }) => `${truncateStart(layer.name, 24)}:${channel}`;

/**
 * What a node gives to its parent, in words.
 * @param {TreeNode} node
 * @param {string} direction
 */
function meaning({ part, parent, copies, failed }, direction) {
  const words = [];
  if (part && direction === "up") {
    const verb = part.share < 0 ? "inhibits" : "excites";
    words.push(`It ${verb} ${shortName(parent)}: ${signedPercent(part.share)} of its sum (${number(part.value)}).`);
  } else if (part) {
    const verb = part.share < 0 ? "is inhibited by" : "is excited by";
    words.push(`It ${verb} ${shortName(parent)}, which has ${signedPercent(part.share)} of its sum.`);
  }
  if (copies > 1) words.push(`It occurs ${plural(copies, "time")} here.`);
  if (failed) words.push("Its circuit cannot be read.");
  return words.join(" ");
}

/**
 * @typedef {object} Expanded the weights of a filter with respect to one two layers upstream
 * @property {{layer: Layer, channel: number}} filter
 * @property {{layer: Layer, channel: number}} upstream
 * @property {Kernel} kernel
 * @property {number} scale
 */

/**
 * @param {Expanded} expanded
 * @param {string} direction
 */
function expandedWeights({ filter, upstream, kernel, scale }, direction) {
  return h(
    "figure",
    { class: "node-expanded" },
    kernelPicture(kernel, scale),
    h(
      "figcaption",
      { class: "chart-note" },
      `Expanded weights ${direction === "up" ? `to ${shortName(filter)}` : `from ${shortName(upstream)}`}: the sum over `,
      "all paths, in which excitation and inhibition cancel.",
    ),
  );
}

/**
 * @param {object} options
 * @param {string} options.network
 * @param {() => Route} options.current
 * @param {(node: TreeNode) => void} options.toggle show or hide what lies beyond a node
 * @param {(node: TreeNode) => void} options.remove
 */
export function nodePanel({ network, current, toggle, remove }) {
  const node = h("section", { class: "node-panel", "aria-label": "Chosen filter" });
  const button = (value, text, click) =>
    h("button", { type: "button", class: "button", data: { value }, on: { click } }, text);

  return {
    node,
    /**
     * @param {TreeNode} one
     * @param {string|null} url of its picture
     * @param {string|null} name of its class
     * @param {Circuit|null|undefined} circuit of the filter
     * @param {Expanded|null} expanded
     */
    show(one, url, name, circuit, expanded) {
      const { depth, width, direction } = current();
      const up = direction === "up";
      const place = { network, layer: one.layer.name, channel: one.channel };
      const further = up ? "inputs" : "users";
      const actions = () => [
        one.canOpen ? button("toggle", `${one.isOpen ? "Hide" : "Show"} ${further}`, () => toggle(one)) : null,
        button("remove", "Remove", () => remove(one)),
        h(
          "a",
          {
            class: "button",
            href: formatRoute({ ...place, circuit: true, depth, width, direction }),
            title: `A circuit of its own: what it is ${up ? "made of" : "used for"}`,
          },
          "Make root",
        ),
      ];
      const content = [
        h(
          "div",
          { class: "node-panel-pictures" },
          url ? frame(null, h("img", { src: url, alt: `${filterKey(one)}, its best crop` })) : null,
          one.part?.kernel ? kernelPicture(one.part.kernel, one.scale) : null,
        ),
        h(
          "div",
          { class: "node-panel-text" },
          h(
            "p",
            { class: "node-panel-name" },
            h("a", { class: "text-link", href: formatRoute(place), title: one.layer.name }, shortName(one)),
            name ? ` ${truncate(name, 40)}` : null,
          ),
          one.parent || !circuit?.upstream.length ? null : balanceSum(circuit),
          h("p", null, meaning(one, direction) || "The root of this circuit."),
        ),
        expanded ? expandedWeights(expanded, direction) : null,
        one.parent ? h("div", { class: "actions" }, actions()) : null,
      ];
      node.classList.toggle("root", !one.parent);
      preserveFocus(node, () => replace(node, content));
    },
  };
}
