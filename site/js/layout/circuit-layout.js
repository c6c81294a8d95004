/** Where the nodes of a circuit stand, and the lines between them: a tree from top to bottom, or rows. Uses no DOM. */
import d3 from "../vendored/d3.js";

/** @import { Tree, TreeNode } from "../data/circuit-tree.js" */

/** The sizes of a node, in px: of the tree and of rows. */
export const CELL = { width: 80, height: 112, thumb: 64, root: 96, level: 178, gap: 20 };
export const ROW = { height: 68, thumb: 52, indent: 26 };

/** The widths of the thinnest and of the widest line, in px. */
const LINES = { tree: [1.2, 15], rows: [1.2, 9] };

/**
 * @typedef {{x: number, y: number, width: number, height: number}} NodeBox its upper left corner and its size
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
 * The root above its neighbours, these above theirs.
 * @param {Tree} tree
 * @returns {CircuitPlan}
 */
export function treePlan(tree) {
  const { thumb, root: large, level, width, height, gap } = CELL;
  const hierarchy = d3.hierarchy(tree.root, (node) => node.children);
  /** @type {import("d3").HierarchyPointNode<TreeNode>} */
  const placed = d3
    .tree()
    .nodeSize([width, level])
    .separation((a, b) => (a.parent === b.parent ? 1 : 1 + gap / width))(/** @type {any} */ (hierarchy));
  const all = placed.descendants();
  const extent = d3.extent(all, ({ x }) => x);
  const left = Math.min(extent[0], -large / 2) - width / 2;
  const right = Math.max(extent[1], large / 2) + width / 2;
  /** @type {Map<string, NodeBox>} */
  const boxes = new Map();
  for (const { x, y, data } of all) {
    const extra = data === tree.root ? large - thumb : 0;
    // All begin below the larger root.
    const top = data === tree.root ? y : y + large - thumb;
    const size = { width: width + extra, height: height + extra };
    boxes.set(data.key, { x: x - left - size.width / 2, y: top, ...size });
  }
  const widthOf = lineWidth(tree, LINES.tree);
  const lines = tree.nodes.slice(1).map((node) => {
    const [from, to] = [boxes.get(node.parent.key), boxes.get(node.key)];
    const [x0, y0] = [from.x + from.width / 2, from.y + from.height];
    const [x1, y1] = [to.x + to.width / 2, to.y];
    const middle = (y0 + y1) / 2;
    return { node, width: widthOf(node), d: `M${x0},${y0}C${x0},${middle} ${x1},${middle} ${x1},${y1}` };
  });
  const bottom = Math.max(...[...boxes.values()].map((box) => box.y + box.height));
  return { mode: "tree", width: right - left, height: bottom, boxes, lines };
}

/**
 * A row for each node below its parent's, indented by level: what fits a narrow window.
 * @param {Tree} tree
 * @param {number} width of the window
 * @returns {CircuitPlan}
 */
export function rowsPlan(tree, width) {
  const { height, thumb, indent } = ROW;
  const boxes = new Map(
    tree.nodes.map((node, i) => {
      const x = Math.min(node.level * indent, width / 2);
      return [node.key, { x, y: i * height, width: width - x, height: height - 6 }];
    }),
  );
  const widthOf = lineWidth(tree, LINES.rows);
  const lines = tree.nodes.slice(1).map((node) => {
    const [from, to] = [boxes.get(node.parent.key), boxes.get(node.key)];
    const x = from.x + indent / 2;
    return { node, width: widthOf(node), d: `M${x},${from.y + 5 + thumb}V${to.y + 5 + thumb / 2}H${to.x + 5}` };
  });
  return { mode: "rows", width, height: tree.nodes.length * height, boxes, lines };
}
