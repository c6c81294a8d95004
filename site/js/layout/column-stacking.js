/**
 * Columns of cards drawn close together. dagre keeps long edges straight, and where many branches meet again and again
 * that pulls the cards far apart; here each column is stacked by itself, in the order that dagre found. Pure.
 */

/** Between a line that passes and its neighbour, a card or another line. */
const BESIDE_CARD = 18;
const BESIDE_LINE = 10;

/**
 * @typedef {object} Item a card, or the place where lines to one layer pass a column
 * @property {string|null} name the card's
 * @property {number} y where it was
 * @property {number} height
 * @property {Array<{column: number, y: number}>} points the lines'
 */

/** What is in each column, from top to bottom; lines to the same layer pass together. */
function columnsOf(plan, box) {
  const columns = new Map();
  const at = (column) => columns.get(column) ?? columns.set(column, []).get(column);
  for (const [name, { column, y }] of plan.nodes) at(column).push({ name, y, height: box.height, points: [] });
  const half = box.width / 2 / (box.width + box.gapX);
  const passing = new Map();
  for (const { to, points } of plan.paths) {
    for (const point of points) {
      const column = Math.round(point.column - half);
      // Only beside cards: between columns a line may go as it likes.
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
  return a.name === null && b.name === null ? BESIDE_LINE : BESIDE_CARD;
}

/**
 * The same plan with each column's cards stacked around a line through the middle.
 * @param {ReturnType<typeof import("./graph-layout.js").planColumns>} plan
 * @param {{width: number, height: number, gapX: number, gapY: number}} box
 * @returns {ReturnType<typeof import("./graph-layout.js").planColumns>}
 */
export function stackColumns(plan, box) {
  const nodes = new Map();
  const lines = new Map(); // by point, how high its line passes
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
    // Level from the left edge of a column to the right one, so that no card is crossed.
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
