/**
 * Layout of a network's cards: columns from left to right, folded into rows that fit the width.
 * dagre assigns columns and keeps edges clear of cards; this file folds its long line into rows. Uses no DOM.
 */
import d3 from "../vendored/d3.js";
import { withoutShortcuts } from "./shortcuts.js";
import { stackColumns } from "./column-stacking.js";

/** @import { Dagre } from "../vendored/dagre.js" */

/**
 * @typedef {{width: number, height: number, gapX: number, gapY: number}} CardBox the size of a card, and the gaps
 * @typedef {{column: number, y: number}} Point
 * @typedef {[number, number]} Position x and y in the drawing
 *
 * @typedef {object} Plan one long line of columns, not yet folded into rows
 * @property {Map<string, Point>} nodes by layer
 * @property {Array<{from: string, to: string, points: Point[], over?: boolean}>} paths `over`: drawn over the rows
 *
 * @typedef {object} Drawing
 * @property {number} width
 * @property {number} height
 * @property {number} rows
 * @property {Map<string, {x: number, y: number, row: number}>} cards
 * @property {Array<{from: string, to: string, over: boolean, d: string}>} edges
 */

/** With more dummy nodes than this dagre is slow; then edges are drawn straight. */
const MOST_SPAN = 1500;
/** Cards are stacked closely, at the cost of straight edges, if that enlarges them by this factor. */
const STACKING_GAIN = 1.25;
/** No screen shows wider rows. */
const MOST_COLUMNS = 40;

/**
 * The length of the longest path to each layer, from the layers without inputs.
 * @param {string[]} names in order of execution
 * @param {Array<[string, string]>} edges
 * @returns {Map<string, number>}
 */
export function ranks(names, edges) {
  const rank = new Map(names.map((name) => [name, 0]));
  const order = new Map(names.map((name, i) => [name, i]));
  const sorted = edges
    .filter(([a, b]) => order.has(a) && order.has(b) && order.get(a) < order.get(b))
    .sort((x, y) => order.get(x[0]) - order.get(y[0]));
  for (const [a, b] of sorted) rank.set(b, Math.max(rank.get(b), rank.get(a) + 1));
  return rank;
}

/**
 * Whether each layer is connected to the next one alone.
 * @param {string[]} names
 * @param {Array<[string, string]>} edges
 */
export function isChain(names, edges) {
  return edges.length === names.length - 1 && edges.every(([a, b], i) => a === names[i] && b === names[i + 1]);
}

function simple(names, edges, box) {
  const rank = ranks(names, edges);
  const lanes = new Map();
  const nodes = new Map();
  for (const name of names) {
    const column = rank.get(name);
    const lane = lanes.get(column) ?? 0;
    lanes.set(column, lane + 1);
    nodes.set(name, { column, y: lane * (box.height + box.gapY / 2) });
  }
  return { nodes, paths: edges.map(([from, to]) => ({ from, to, points: [] })) };
}

function layered(dagre, names, edges, box) {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR", ranksep: box.gapX, nodesep: box.gapY / 2, edgesep: 14 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const name of names) graph.setNode(name, { width: box.width, height: box.height });
  const layers = new Set(names);
  const drawn = edges.filter(([a, b]) => layers.has(a) && layers.has(b) && a !== b);
  for (const [a, b] of drawn) graph.setEdge(a, b);
  dagre.layout(graph);
  const xs = [...new Set(names.map((name) => Math.round(graph.node(name).x)))].sort((a, b) => a - b);
  const nodes = new Map();
  for (const name of names) {
    const { x, y } = graph.node(name);
    nodes.set(name, { column: xs.indexOf(Math.round(x)), y: y - box.height / 2 });
  }
  const step = box.width + box.gapX;
  const origin = xs[0] - box.width / 2;
  const paths = drawn.map(([from, to]) => {
    const points = graph.edge(from, to).points.slice(1, -1);
    // In columns: dagre's own x, so that a point can move with the row it falls in.
    return { from, to, points: points.map((p) => ({ column: (p.x - origin) / step, y: p.y })) };
  });
  return { nodes, paths };
}

/**
 * Assign a column and a height to each layer.
 * @param {Dagre|null} dagre
 * @param {string[]} names layers in order of execution
 * @param {Array<[string, string]>} edges
 * @param {CardBox} box
 * @returns {Plan}
 */
export function planColumns(dagre, names, edges, box) {
  const rank = ranks(names, edges);
  const span = edges.reduce((sum, [a, b]) => sum + Math.max(0, (rank.get(b) ?? 0) - (rank.get(a) ?? 0)), 0);
  return dagre && !isChain(names, edges) && span <= MOST_SPAN
    ? layered(dagre, names, edges, box)
    : simple(names, edges, box);
}

/**
 * Like `planColumns`, but shortcuts do not take part in the layout and are drawn over the rows.
 * @param {Dagre|null} dagre
 * @param {string[]} names
 * @param {Array<[string, string]>} edges
 * @param {CardBox} box
 * @returns {Plan}
 */
export function planColumnsTight(dagre, names, edges, box) {
  const { plain, shortcuts } = withoutShortcuts(names, edges);
  const plan = planColumns(dagre, names, plain, box);
  return {
    nodes: plan.nodes,
    paths: [...plan.paths, ...shortcuts.map(([from, to]) => ({ from, to, points: [], over: true }))],
  };
}

/**
 * The layout of all cards in a given width.
 * @param {Dagre|null} dagre
 * @param {string[]} names
 * @param {Array<[string, string]>} edges
 * @param {CardBox & {room: number}} box with the width there is
 */
export function layout(dagre, names, edges, box) {
  return foldIntoRows(planColumns(dagre, names, edges, box), box);
}

/**
 * Fold into as many columns as show everything largest in a window; stack the cards closely where straight edges
 * pull them far apart.
 * @param {Plan} plan
 * @param {CardBox} box
 * @param {{width: number, height: number}} view
 */
export function foldToFit(plan, box, view) {
  const [straight, close] = [plan, stackColumns(plan, box)].map((one) => ({ plan: one, ...largest(one, box, view) }));
  const chosen = close.scale > STACKING_GAIN * straight.scale ? close : straight;
  return foldIntoRows(chosen.plan, { ...box, room: chosen.room });
}

/** The width that shows a plan largest, and at what scale. */
function largest(plan, box, view) {
  const step = box.width + box.gapX;
  let best = { room: 2 * step - box.gapX, scale: 0 };
  for (let columns = 2; columns <= MOST_COLUMNS; columns++) {
    const room = columns * step - box.gapX;
    const { width, height, rows } = measure(plan, { ...box, room });
    const scale = Math.min(view.width / width, view.height / height);
    if (scale > best.scale) best = { room, scale };
    if (rows.length === 1) break;
  }
  return best;
}

/** The rows that columns are folded into, and the size of the drawing. */
function measure(plan, box) {
  const step = box.width + box.gapX;
  const columns = Math.max(1, Math.floor((box.room + box.gapX) / step));
  const rowOf = (column) => Math.floor(column / columns);
  const rows = [];
  const grow = (row, top, bottom) => {
    rows[row] ??= { top: Infinity, bottom: -Infinity };
    rows[row].top = Math.min(rows[row].top, top);
    rows[row].bottom = Math.max(rows[row].bottom, bottom);
  };
  let last = -Infinity;
  for (const { column, y } of plan.nodes.values()) {
    grow(rowOf(column), y, y + box.height);
    last = Math.max(last, column);
  }
  for (const { from, to, points } of plan.paths) {
    if (!points.length) continue;
    const row = rowOf(plan.nodes.get(from)?.column ?? 0);
    if (row === rowOf(plan.nodes.get(to)?.column ?? 0)) for (const { y } of points) grow(row, y - 8, y + 8);
  }
  let y = 0;
  for (const row of rows) {
    row.y = y;
    y += row.bottom - row.top + box.gapY;
  }
  const widest = Math.min(columns, last + 1);
  return { step, columns, rowOf, rows, width: widest * step - box.gapX, height: y - box.gapY };
}

/**
 * Fold the columns of a plan into rows.
 * @param {Plan} plan
 * @param {CardBox & {room: number}} box with the width there is
 * @returns {Drawing}
 */
export function foldIntoRows(plan, box) {
  const { step, columns, rowOf, rows, width, height } = measure(plan, box);
  const cards = new Map();
  for (const [name, node] of plan.nodes) {
    const row = rows[rowOf(node.column)];
    cards.set(name, { x: (node.column % columns) * step, y: row.y + node.y - row.top, row: rowOf(node.column) });
  }
  const edge = width + box.gapX / 2;
  return {
    width,
    height,
    rows: rows.length,
    cards,
    edges: plan.paths
      .filter(({ from, to }) => cards.has(from) && cards.has(to))
      .map(({ from, to, points, over = false }) => {
        const [a, b] = [cards.get(from), cards.get(to)];
        return { from, to, over, d: over ? shortcut(a, b) : route(a, b, points) };
      }),
  };

  /** A line over the row; along the right edge into another row. */
  function shortcut(a, b) {
    const [out, into] = [a.x + box.width * 0.7, b.x + box.width * 0.3];
    const far = a.row === b.row ? Math.abs(b.x - a.x) / step : columns;
    const lift = Math.min(box.gapY * 0.85, box.gapY * 0.2 + far * 3);
    const [over, under] = [rows[a.row].y - lift, rows[b.row].y - lift];
    /** @type {Position[]} */
    const points = [
      [out, a.y],
      [out, over],
    ];
    if (a.row !== b.row) points.push([edge, over], [edge, under]);
    points.push([into, under], [into, b.y]);
    return roundedPath(points, 8);
  }

  function route(a, b, points) {
    /** @type {Position} */
    const start = [a.x + box.width, a.y + box.height / 2];
    /** @type {Position} */
    const end = [b.x, b.y + box.height / 2];
    if (a.row === b.row) {
      const row = rows[a.row];
      const first = a.row * columns;
      const within = points.map((p) => [(p.column - first) * step, row.y + p.y - row.top]);
      return smooth([start, ...within, end]);
    }
    const right = start[0] + box.gapX / 2;
    const left = end[0] - box.gapX / 2;
    const under = rows[a.row].y + rows[a.row].bottom - rows[a.row].top + box.gapY / 2;
    const over = rows[b.row].y - box.gapY / 2;
    /** @type {Position[]} */
    const turn = [start, [right, start[1]], [right, under]];
    if (over > under) turn.push([-box.gapX / 2, under], [-box.gapX / 2, over]);
    turn.push([left, over], [left, end[1]], end);
    return roundedPath(turn, Math.min(12, box.gapX / 2, box.gapY / 2));
  }
}

/** A curve through points that leaves and enters them horizontally. */
const smooth = d3.line().curve(d3.curveBumpX).digits(1);

/**
 * Straight lines with rounded corners.
 * @param {Position[]} points
 * @param {number} radius
 */
export function roundedPath(points, radius) {
  let d = `M${points[0].map(round).join(",")}`;
  for (let i = 1; i < points.length - 1; i++) {
    const [before, at, after] = [points[i - 1], points[i], points[i + 1]];
    const [p, q] = [towards(at, before, radius), towards(at, after, radius)];
    d += `L${p.map(round).join(",")}Q${[...at, ...q].map(round).join(",")}`;
  }
  return `${d}L${points.at(-1).map(round).join(",")}`;
}

function towards([x, y], [toX, toY], most) {
  const length = Math.hypot(toX - x, toY - y) || 1;
  const share = Math.min(most, length / 2) / length;
  return [x + (toX - x) * share, y + (toY - y) * share];
}

function round(value) {
  return Math.round(value * 10) / 10;
}
