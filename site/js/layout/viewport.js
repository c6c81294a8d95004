/** The viewport of a drawing that is larger than its window: `{k, x, y}` scales by k, then moves by (x, y). Uses no DOM. */

/** @typedef {{k: number, x: number, y: number}} Transform */
/** @typedef {{width: number, height: number}} Size */
/** @typedef {{x: number, y: number, width: number, height: number}} Box */

/** From this scale on, the small text of a card is legible. */
export const READABLE = 0.7;
/** From this many layers on, a network that is not a chain is shown as a map. */
const MAP_FROM = 16;
/** Below this width, in px, the layers are a list. */
const LIST_BELOW = 620;

/**
 * How to show the layers.
 * @param {{room: number, layers: number, chain: boolean}} graph
 * @returns {"list"|"rows"|"map"}
 */
export function layoutMode({ room, layers, chain }) {
  if (room < LIST_BELOW) return "list";
  return chain || layers < MAP_FROM ? "rows" : "map";
}

/**
 * The whole drawing, centered in the window, never enlarged.
 * @param {Size} world
 * @param {Size} view
 * @param {number} margin
 * @returns {Transform}
 */
export function fitToView(world, view, margin) {
  const across = (view.width - 2 * margin) / world.width;
  const down = (view.height - 2 * margin) / world.height;
  const k = Math.max(0.02, Math.min(1, across, down));
  return { k, x: (view.width - k * world.width) / 2, y: (view.height - k * world.height) / 2 };
}

/**
 * Whether the whole drawing lies in the window.
 * @param {Transform} transform
 * @param {Size} world
 * @param {Size} view
 */
export function showsAll({ k, x, y }, world, view) {
  const slack = 1;
  return (
    x >= -slack &&
    y >= -slack &&
    x + k * world.width <= view.width + slack &&
    y + k * world.height <= view.height + slack
  );
}

/**
 * The part of the drawing that the window shows, in units of the drawing.
 * @param {Transform} transform
 * @param {Size} view
 * @returns {Box}
 */
export function visibleBox({ k, x, y }, view) {
  return { x: -x / k, y: -y / k, width: view.width / k, height: view.height / k };
}

/**
 * Center a box unless it is visible already.
 * @param {Transform} transform
 * @param {Box} box
 * @param {Size} view
 * @param {{margin: number, corner: Size|null}} keep the margin, and the lower right corner that is covered
 * @returns {Transform}
 */
export function reveal(transform, box, view, { margin, corner }) {
  const { k, x, y } = transform;
  const [left, top] = [x + k * box.x, y + k * box.y];
  const [right, bottom] = [left + k * box.width, top + k * box.height];
  const inside = left >= margin && top >= margin && right <= view.width - margin && bottom <= view.height - margin;
  const covered = corner && right > view.width - corner.width && bottom > view.height - corner.height;
  if (inside && !covered) return transform;
  return {
    k,
    x: view.width / 2 - k * (box.x + box.width / 2),
    y: view.height / 2 - k * (box.y + box.height / 2),
  };
}
