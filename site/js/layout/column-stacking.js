/**
 * Stack the cards of each column without gaps. dagre keeps long edges straight, which pulls the cards far apart where
 * many branches meet again and again. The order within a column stays that of dagre. Uses no DOM.
 */

/** @import { CardBox, Plan, Point } from "./graph-layout.js" */

/** The gaps between a line and a card, and between two lines, in px. */
const CARD_GAP = 18;
const LINE_GAP = 10;

/**
 * @typedef {object} Item a card, or the position where lines to one layer cross a column
 * @property {string|null} name of the card's layer
 * @property {number} y in dagre's layout
 * @property {number} height
 * @property {Point[]} points of the lines
 */

/**
 * The items of each column, from top to bottom; lines to the same layer share one.
 * @param {Plan} plan
 * @param {CardBox} box
 * @returns {Map<number, Item[]>}
 */
function columnsOf(plan, box) {
  const columns = new Map();
  const at = (column) => columns.get(column) ?? columns.set(column, []).get(column);
  for (const [name, { column, y }] of plan.nodes) at(column).push({ name, y, height: box.height, points: [] });
  const half = box.width / 2 / (box.width + box.gapX);
  const passing = new Map();
  for (const { to, points } of plan.paths) {
    for (const point of points) {
      const column = Math.round(point.column - half);
      // Only points beside cards matter.
      if (Math.abs(column + half - point.column) > 0.05 || !columns.has(column)) continue;
      const key = `${column} ${to}`;
      if (!passing.has(key)) {
        passing.set(key, { name: null, y: 0, height: 0, points: [] });
        at(column).push(passing.get(key));
      }
      passing.get(key).points.push(point);
    }
  }
  for (const item of passing.values()) {
    item.y = item.points.reduce((sum, { y }) => sum + y, 0) / item.points.length;
  }
  const middle = ({ y, height }) => y + height / 2;
  for (const items of columns.values()) items.sort((a, b) => middle(a) - middle(b));
  return columns;
}

function gap(a, b, box) {
  if (a.name !== null && b.name !== null) return box.gapY / 2;
  return a.name === null && b.name === null ? LINE_GAP : CARD_GAP;
}

/**
 * The plan with each column's cards stacked around a common center line.
 * @param {Plan} plan
 * @param {CardBox} box
 * @returns {Plan}
 */
export function stackColumns(plan, box) {
  const nodes = new Map();
  const lines = new Map(); // by point, its new position
  for (const [column, items] of columnsOf(plan, box)) {
    let y = 0;
    const tops = items.map((item, i) => {
      if (i > 0) y += items[i - 1].height + gap(items[i - 1], item, box);
      return y;
    });
    const cards = items.flatMap(({ name }, i) => (name === null ? [] : [tops[i]]));
    const middle = (cards[0] + cards.at(-1) + box.height) / 2;
    items.forEach(({ name, points }, i) => {
      if (name !== null) nodes.set(name, { column, y: tops[i] - middle });
      for (const point of points) lines.set(point, { column, y: tops[i] - middle });
    });
  }
  const right = box.width / (box.width + box.gapX);
  const paths = plan.paths.map((path) => ({
    ...path,
    // Horizontal from the left edge of a column to the right one, so that no card is crossed.
    points: path.points
      .filter((point) => lines.has(point))
      .flatMap((point) => {
        const { column, y } = lines.get(point);
        return [
          { column, y },
          { column: column + right, y },
        ];
      }),
  }));
  return { nodes, paths };
}
