/**
 * Where the cards of a network go: left to right, and on to the next row where the width ends.
 * Pure: dagre ranks the layers and keeps edges clear of cards; this file folds its long line into rows.
 */

import { withoutShortcuts } from "./shortcuts.js";
import { stackColumns } from "./column-stacking.js";

/** More than this many dummy nodes would make dagre slow; then edges are drawn straight. */
const MOST_SPAN = 1500;
/** Straight edges are given up for cards that are so many times as large. */
const WORTH = 1.25;
/** Wider than this, no screen shows a row. */
const MOST_COLUMNS = 40;

/** The longest path to each layer, from the layers without inputs. */
export function ranks(names, edges) {
  const rank = new Map(names.map((name) => [name, 0]));
  const order = new Map(names.map((name, i) => [name, i]));
  const sorted = edges
    .filter(([a, b]) => order.has(a) && order.has(b) && order.get(a) < order.get(b))
    .sort((x, y) => order.get(x[0]) - order.get(y[0]));
  for (const [a, b] of sorted) rank.set(b, Math.max(rank.get(b), rank.get(a) + 1));
  return rank;
}

/** Whether the layers are one plain chain. */
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
  const known = new Set(names);
  const drawn = edges.filter(([a, b]) => known.has(a) && known.has(b) && a !== b);
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
 * Which column each layer is in, and how high: one long line, not yet folded into rows.
 * @param {object|null} dagre
 * @param {string[]} names layers in execution order
 * @param {Array<[string, string]>} edges
 * @param {{width: number, height: number, gapX: number, gapY: number}} box the size of a card, and the gaps
 */
export function planColumns(dagre, names, edges, box) {
  const rank = ranks(names, edges);
  const span = edges.reduce((sum, [a, b]) => sum + Math.max(0, (rank.get(b) ?? 0) - (rank.get(a) ?? 0)), 0);
  return dagre && !isChain(names, edges) && span <= MOST_SPAN
    ? layered(dagre, names, edges, box)
    : simple(names, edges, box);
}

/**
 * The same, with the shortcuts past other layers left out of the arrangement and drawn over the rows.
 * @param {object|null} dagre
 * @param {string[]} names
 * @param {Array<[string, string]>} edges
 * @param {{width: number, height: number, gapX: number, gapY: number}} box
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
 * Where every card goes in the width there is.
 * @param {object|null} dagre
 * @param {string[]} names
 * @param {Array<[string, string]>} edges
 * @param {{width: number, height: number, gapX: number, gapY: number, room: number}} box
 */
export function layout(dagre, names, edges, box) {
  return foldIntoRows(planColumns(dagre, names, edges, box), box);
}

/**
 * Rows of the number of columns that lets all be seen largest in a window of a given size; where straight edges
 * pull the cards far apart, with the cards close together instead.
 * @param {ReturnType<typeof planColumns>} plan
 * @param {{width: number, height: number, gapX: number, gapY: number}} box
 * @param {{width: number, height: number}} view
 */
export function foldToFit(plan, box, view) {
  const [straight, close] = [plan, stackColumns(plan, box)].map((one) => ({ plan: one, ...largest(one, box, view) }));
  const chosen = close.scale > WORTH * straight.scale ? close : straight;
  return foldIntoRows(chosen.plan, { ...box, room: chosen.room });
}

/** The room that lets a plan be seen largest, and how large. */
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

/** The rows that columns are folded into, and how large it all is. */
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
 * @param {ReturnType<typeof planColumns>} plan
 * @param {{width: number, height: number, gapX: number, gapY: number, room: number}} box
 * @returns {{width: number, height: number, rows: number, cards: Map<string, {x: number, y: number, row: number}>,
 *   edges: Array<{from: string, to: string, over: boolean, d: string}>}}
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

  /** Up, along over the row, and down; by the right edge into another row. */
  function shortcut(a, b) {
    const [out, into] = [a.x + box.width * 0.7, b.x + box.width * 0.3];
    const far = a.row === b.row ? Math.abs(b.x - a.x) / step : columns;
    const lift = Math.min(box.gapY * 0.85, box.gapY * 0.2 + far * 3);
    const [over, under] = [rows[a.row].y - lift, rows[b.row].y - lift];
    const along =
      a.row === b.row
        ? []
        : [
            [edge, over],
            [edge, under],
          ];
    return roundedPath([[out, a.y], [out, over], ...along, [into, under], [into, b.y]], 8);
  }

  function route(a, b, points) {
    const start = [a.x + box.width, a.y + box.height / 2];
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
    const turn = [start, [right, start[1]], [right, under]];
    if (over > under) turn.push([-box.gapX / 2, under], [-box.gapX / 2, over]);
    turn.push([left, over], [left, end[1]], end);
    return roundedPath(turn, Math.min(12, box.gapX / 2, box.gapY / 2));
  }
}

/** A curve through points that leaves and enters them horizontally. */
export function smooth(points) {
  let d = `M${points[0].map(round).join(",")}`;
  for (let i = 1; i < points.length; i++) {
    const [[x0, y0], [x1, y1]] = [points[i - 1], points[i]];
    const half = (x1 - x0) / 2;
    d += y0 === y1 ? `H${round(x1)}` : `C${[x0 + half, y0, x1 - half, y1, x1, y1].map(round).join(",")}`;
  }
  return d;
}

/** Straight lines with rounded corners. */
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
