/** Where the nodes of a circuit stand, and the lines between them: a tree from top to bottom, or rows. Uses no DOM. */
import d3 from "../vendored/d3.js";

/** @import { Tree, TreeNode } from "../data/circuit-tree.js" */

/** The sizes of a node, in px: of the lowest level of the tree, and of rows. */
export const CELL = { width: 82, thumb: 66, text: 36, handle: 22, gap: 22, line: 54 };
export const ROW = { height: 68, thumb: 52, indent: 26 };

/** Nodes of levels that have few are larger, up to this factor; their text grows by half as much. */
const LARGEST = 2;

/** Lines are at most so many times as tall as need be to fill the window. */
const STRETCH = 4;

/** The widths of the thinnest and of the widest line, in px. */
const LINES = { tree: [1.2, 15], rows: [1.2, 9] };

/**
 * @typedef {object} NodeBox
 * @property {number} x of its upper left corner
 * @property {number} y
 * @property {number} width
 * @property {number} height
 * @property {number} thumb the side of its picture
 * @property {number} text the factor of its text
 *
 * @typedef {object} CircuitPlan
 * @property {"tree"|"rows"} mode
 * @property {number} width
 * @property {number} height
 * @property {Map<string, NodeBox>} boxes by key
 * @property {Array<{node: TreeNode, d: string, width: number}>} lines from each parent to the node
 */

/**
 * The width of a line, by the share of its node.
 * @param {Tree} tree
 * @param {number[]} range
 * @returns {(node: TreeNode) => number}
 */
function lineWidth({ nodes }, [least, most]) {
  const largest = Math.max(1e-9, ...nodes.map(({ part }) => Math.abs(part?.share ?? 0)));
  return ({ part }) => Math.max(least, (Math.abs(part.share) / largest) * most);
}

/**
 * The factor of each level's nodes: what there is room for.
 * @param {Tree} tree
 */
function levelSizes({ nodes }) {
  const counts = [];
  for (const { level } of nodes) counts[level] = (counts[level] ?? 0) + 1;
  const most = Math.max(...counts);
  return counts.map((count) => Math.min(LARGEST, Math.sqrt(most / count)));
}

/**
 * The root above its neighbours, these above theirs.
 * @param {Tree} tree
 * @param {{width: number, height: number}} room the window, whose shape the tree takes if it can
 * @returns {CircuitPlan}
 */
export function treePlan(tree, room) {
  const { width: least, thumb, text, handle, gap, line } = CELL;
  const levels = levelSizes(tree).map((size) => {
    const factor = (1 + size) / 2;
    return { thumb: thumb * size, text: factor, width: least * size, height: thumb * size + text * factor + handle };
  });
  const hierarchy = d3.hierarchy(tree.root, (node) => node.children);
  /** @type {import("d3").HierarchyPointNode<TreeNode>} */
  const placed = d3
    .tree()
    .nodeSize([1, 1])
    .separation((a, b) => levels[a.depth].width + (a.parent === b.parent ? 0 : gap))(/** @type {any} */ (hierarchy));
  const all = placed.descendants();
  const left = Math.min(...all.map(({ x, depth }) => x - levels[depth].width / 2));
  const right = Math.max(...all.map(({ x, depth }) => x + levels[depth].width / 2));
  const width = right - left;
  const nodesHeight = levels.reduce((sum, { height }) => sum + height, 0);
  const wanted = (room.height * Math.max(1, width / room.width) - nodesHeight) / Math.max(1, levels.length - 1);
  const between = Math.min(STRETCH * line, Math.max(line, wanted));
  const tops = levels.map((_, at) => levels.slice(0, at).reduce((sum, { height }) => sum + height + between, 0));
  /** @type {Map<string, NodeBox>} */
  const boxes = new Map(
    all.map(({ x, depth, data }) => [
      data.key,
      { x: x - left - levels[depth].width / 2, y: tops[depth], ...levels[depth] },
    ]),
  );
  const widthOf = lineWidth(tree, LINES.tree);
  const lines = tree.nodes.slice(1).map((node) => {
    const [from, to] = [boxes.get(node.parent.key), boxes.get(node.key)];
    const [x0, y0] = [from.x + from.width / 2, from.y + from.height - (node.parent.parent ? 0 : handle)];
    const [x1, y1] = [to.x + to.width / 2, to.y];
    const middle = (y0 + y1) / 2;
    return { node, width: widthOf(node), d: `M${x0},${y0}C${x0},${middle} ${x1},${middle} ${x1},${y1}` };
  });
  const last = levels.length - 1;
  return { mode: "tree", width, height: tops[last] + levels[last].height, boxes, lines };
}

/**
 * A row for each node below its parent's, indented by level: what fits a narrow window.
 * @param {Tree} tree
 * @param {number} width of the window
 * @returns {CircuitPlan}
 */
export function rowsPlan(tree, width) {
  const { height, thumb, indent } = ROW;
  /** @type {Map<string, NodeBox>} */
  const boxes = new Map();
  tree.nodes.forEach(({ key, level }, i) => {
    const x = Math.min(level * indent, width / 2);
    boxes.set(key, { x, y: i * height, width: width - x, height: height - 6, thumb, text: 1 });
  });
  const widthOf = lineWidth(tree, LINES.rows);
  const lines = tree.nodes.slice(1).map((node) => {
    const [from, to] = [boxes.get(node.parent.key), boxes.get(node.key)];
    const x = from.x + indent / 2;
    return { node, width: widthOf(node), d: `M${x},${from.y + 5 + thumb}V${to.y + 5 + thumb / 2}H${to.x + 5}` };
  });
  return { mode: "rows", width, height: tree.nodes.length * height, boxes, lines };
}
