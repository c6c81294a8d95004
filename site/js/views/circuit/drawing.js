/** The drawing of a circuit: nodes with pictures, lines by share and sign. It is the same on the page and in a file. */
import { s } from "../../dom/dom.js";
import { filterKey } from "../../data/circuit-tree.js";
import { ROW } from "../../layout/circuit-layout.js";
import { kernelCells } from "../../plots/kernel.js";
import { truncateStart } from "../../text/format.js";
import { signedPercent } from "../filter/circuit-rows.js";

/** @import { TreeNode } from "../../data/circuit-tree.js" */
/** @import { CircuitPlan } from "../../layout/circuit-layout.js" */

/**
 * @typedef {object} Pictures
 * @property {(node: TreeNode) => string|null} url
 * @property {(node: TreeNode) => string|null} nameOf
 */

/**
 * A node in words.
 * @param {TreeNode} node
 * @param {string|null} name
 */
function nodeText(node, name) {
  const { part, parent, copies } = node;
  const words = [`${filterKey(node)}${name ? `, ${name}` : ""}`];
  if (part) words.push(`${signedPercent(part.share)} of ${filterKey(parent)}`);
  if (part && part.share < 0) words.push("inhibits");
  if (copies > 1) words.push(`occurs ${copies} times here`);
  if (node.failed) words.push("what it is made of cannot be read");
  return words.join(", ");
}

function kernel({ part, scale }, x, y, side) {
  if (!part?.kernel || !scale) return null;
  const [height, width] = part.kernel.size;
  const cell = side / Math.max(height, width);
  const [dx, dy] = [x + (side - cell * width) / 2, y + (side - cell * height) / 2];
  return s("g", { class: "node-kernel", transform: `translate(${dx},${dy}) scale(${cell})` }, kernelCells(part.kernel));
}

/** The sign that shows or hides what lies beyond a node. */
function handle(node, x, y) {
  if (!node.canOpen || !node.parent) return null;
  return s(
    "g",
    { class: "node-handle", transform: `translate(${x},${y})` },
    s("circle", { class: "node-handle-area", r: 18 }),
    s("circle", { class: "node-handle-disc", r: 9 }),
    s("path", { d: node.isOpen ? "M-4,0H4" : "M-4,0H4M0,-4V4" }),
  );
}

/** How often a filter occurs, in a corner of its picture. */
function copiesMark({ copies }, x, y) {
  if (copies < 2) return null;
  return s(
    "g",
    { class: "node-copies", transform: `translate(${x},${y})` },
    s("rect", { x: -13, y: -8, width: 26, height: 16, rx: 8 }),
    s("text", { "text-anchor": "middle", y: 4 }, `\u00d7${copies}`),
  );
}

function thumb(node, pictures, x, y, side) {
  const href = pictures.url(node);
  return [
    s("rect", { class: "node-back", x, y, width: side, height: side, rx: 6 }),
    s("image", { x: x + 2, y: y + 2, width: side - 4, height: side - 4, href, data: { filter: filterKey(node) } }),
  ];
}

function treeNode(node, { width, height, thumb: side, text }, pictures) {
  const middle = width / 2;
  const corner = middle - side / 2;
  const label = { x: middle, "text-anchor": "middle" };
  return [
    thumb(node, pictures, corner, 0, side),
    kernel(node, corner, 0, side * 0.34),
    copiesMark(node, middle + side / 2 - 8, 4),
    s(
      "text",
      { class: "node-layer", ...label, y: side + 14 * text, "font-size": 12 * text },
      truncateStart((!node.parent && pictures.nameOf(node)) || node.layer.name, node.parent ? 12 : 20),
    ),
    s(
      "text",
      { class: "node-label", ...label, y: side + 30 * text, "font-size": 13 * text },
      s("tspan", { class: "node-channel" }, node.channel),
      node.part
        ? s("tspan", { class: node.part.share < 0 ? "inhibiting" : "exciting", dx: 5 }, signedPercent(node.part.share))
        : null,
    ),
    handle(node, middle, height - 10),
  ];
}

function rowNode(node, { width, thumb: side }, pictures) {
  const name = pictures.nameOf(node);
  const room = Math.max(6, Math.floor((width - side - 100) / 8));
  const text = side + 16;
  return [
    s("rect", { class: "node-row", width, height: ROW.height - 6, rx: 8 }),
    thumb(node, pictures, 5, 5, side),
    copiesMark(node, side - 4, 9),
    s(
      "text",
      { class: "node-label node-channel", x: text, y: 26, "font-size": 14 },
      `${truncateStart(node.layer.name, room)}:${node.channel}`,
    ),
    s(
      "text",
      { class: "node-layer", x: text, y: 45, "font-size": 13 },
      node.part
        ? s("tspan", { class: node.part.share < 0 ? "inhibiting" : "exciting" }, signedPercent(node.part.share))
        : name && truncateStart(name, room + 6),
    ),
    kernel(node, width - 84, 14, 34),
    handle(node, width - 24, 31),
  ];
}

/**
 * @param {CircuitPlan} plan
 * @param {TreeNode[]} nodes
 * @param {Pictures} pictures
 * @param {string} label
 * @returns {SVGSVGElement}
 */
export function drawCircuit(plan, nodes, pictures, label) {
  const draw = plan.mode === "tree" ? treeNode : rowNode;
  return s(
    "svg",
    {
      class: `circuit-drawing ${plan.mode}`,
      width: plan.width,
      height: plan.height,
      viewBox: `0 0 ${plan.width} ${plan.height}`,
      role: "tree",
      "aria-label": label,
    },
    s(
      "g",
      { class: "circuit-lines", "aria-hidden": "true" },
      plan.lines.map(({ node, d, width }) =>
        s("path", { d, class: node.part.share < 0 ? "inhibiting" : "exciting", "stroke-width": width.toFixed(2) }),
      ),
    ),
    nodes.map((node) => {
      const box = plan.boxes.get(node.key);
      const text = nodeText(node, pictures.nameOf(node));
      return s(
        "g",
        {
          class: "node",
          transform: `translate(${box.x},${box.y})`,
          role: "treeitem",
          tabindex: "-1",
          "aria-level": node.level + 1,
          "aria-expanded": node.canOpen ? String(node.isOpen) : null,
          data: { key: node.key, filter: filterKey(node) },
        },
        s("title", null, text),
        draw(node, box, pictures),
      );
    }),
  );
}
