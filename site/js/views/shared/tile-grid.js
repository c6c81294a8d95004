/**
 * A virtualised grid of links: of thousands of tiles, only those near the window are in the page.
 *
 * Tiles are positioned absolutely, so that adding a row moves no other. The tile that has the focus always stays in
 * the page: removing it would lose the focus.
 */
import { closest, h } from "../../dom/dom.js";
import { keyTarget, gridLayout, tilePosition, tilesInRange } from "../../layout/grid-layout.js";

/** Rows kept beyond the window, so that their pictures are loaded before they scroll into view. */
const SPARE = 3;

/**
 * After a jump by more than a window, only the visible rows are drawn; the others follow this much later, in ms.
 * Of several jumps within this time, as when the scroll bar is dragged, only the first and the last show pictures:
 * requesting hundreds that nobody will see takes longer than a frame.
 */
const JUMP_MS = 120;

/**
 * @param {object} options
 * @param {string} options.label what the grid holds, for screen readers
 * @param {(item: any, bare: boolean) => HTMLAnchorElement} options.make makes a tile; a bare one has no picture yet
 * @param {AbortSignal} options.signal stops observing
 * @param {number} [options.frames] how many frames a tile has side by side
 */
export function tileGrid({ label, make, signal, frames = 1 }) {
  const node = h("ol", { class: "tiles", role: "list", "aria-label": label });
  const cells = new Map(); // index -> the list item that is in the page
  let items = [];
  let grid = null; // null until it has a width
  let active = 0; // the tile that had the focus last
  let drawnTop = 0; // the top of the window when tiles were drawn last, from the grid's top
  let timer = 0;
  let jumpTime = -Infinity;
  const bare = new Set(); // the tiles that have no picture yet

  const linkAt = (index) => cells.get(index)?.firstElementChild ?? null;
  const focused = () => node.contains(document.activeElement);

  function drop(index) {
    const cell = cells.get(index);
    // Stop loading pictures that are no longer near the window.
    for (const image of cell.querySelectorAll("img")) if (!image.complete) image.removeAttribute("src");
    cell.remove();
    cells.delete(index);
    bare.delete(index);
  }

  function put(index, after, isBare) {
    const { x, y } = tilePosition(grid, index);
    const link = make(items[index], isBare);
    if (isBare) bare.add(index);
    link.tabIndex = -1;
    const cell = h("li", { "aria-posinset": index + 1, "aria-setsize": items.length }, link);
    cell.dataset.index = index;
    cell.style.transform = `translate(${x}px, ${y}px)`;
    cells.set(index, cell);
    node.insertBefore(cell, after);
  }

  /** Add the tiles near the window, in order, and remove the others. */
  function draw() {
    if (!grid) return;
    const top = -node.getBoundingClientRect().top;
    const jumped = cells.size > 0 && Math.abs(top - drawnTop) > innerHeight;
    const isBare = jumped && performance.now() - jumpTime < JUMP_MS;
    if (jumped) jumpTime = performance.now();
    drawnTop = top;
    clearTimeout(timer);
    if (jumped) timer = setTimeout(draw, JUMP_MS);
    const [from, to] = tilesInRange(grid, top, top + innerHeight, jumped ? 0 : SPARE);
    const wanted = new Set(Array.from({ length: to - from }, (_, i) => from + i));
    if (active < items.length) wanted.add(active);
    const isRedrawn = focused() && bare.has(active) && !isBare;
    for (const index of [...cells.keys()]) if (!wanted.has(index) || (bare.has(index) && !isBare)) drop(index);
    let next = node.firstElementChild;
    for (const index of [...wanted].sort((a, b) => a - b)) {
      if (cells.get(index) === next && next) next = next.nextElementSibling;
      else put(index, next, isBare && index !== active);
    }
    if (isRedrawn) linkAt(active).focus({ preventScroll: true });
    setTabStop(top);
  }

  /** Put one tile in the tab order: the one with the focus, or else one that is visible. */
  function setTabStop(top) {
    const [from, to] = tilesInRange(
      grid,
      Math.max(0, top + grid.tileHeight / 2),
      top + innerHeight - grid.tileHeight / 2,
    );
    const seen = active >= from && active < to;
    const stop = linkAt(focused() || seen || to <= from ? active : from);
    for (const link of node.querySelectorAll('[tabindex="0"]')) if (link !== stop) link.setAttribute("tabindex", "-1");
    if (stop) stop.tabIndex = 0;
  }

  /** Lay out the grid for its width. */
  function updateLayout() {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    grid = gridLayout({ count: items.length, width: node.clientWidth, view: innerWidth, rem, frames });
    node.style.height = `${grid.height}px`;
    node.style.setProperty("--tile", `${grid.tileWidth}px`);
  }

  /** After a change of width: update the layout, and keep the topmost visible tile in its place. */
  function resize() {
    if (node.clientWidth === 0) return;
    const old = grid;
    const top = old ? drawnTop : 0; // what is above the grid may have moved it since
    const [first] = old && top > 0 ? tilesInRange(old, top, top) : [0];
    const offset = old && top > 0 ? top - tilePosition(old, first).y : 0;
    updateLayout();
    for (const [index, cell] of cells) {
      const { x, y } = tilePosition(grid, index);
      cell.style.transform = `translate(${x}px, ${y}px)`;
    }
    if (old && top > 0) {
      const now = -node.getBoundingClientRect().top;
      scrollBy(0, tilePosition(grid, first).y + offset - now);
    }
    draw();
  }

  function go(index) {
    active = index;
    draw();
    const link = linkAt(index);
    link.focus({ preventScroll: true });
    link.scrollIntoView({ block: "nearest" });
  }

  node.addEventListener("focusin", (event) => {
    const cell = closest(event, "li");
    if (!cell) return;
    active = Number(cell.dataset.index);
    setTabStop(-node.getBoundingClientRect().top);
  });
  node.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || !grid) return;
    const page = Math.floor(innerHeight / (grid.tileHeight + grid.gap)) - 1;
    const to = keyTarget(event.key, active, grid, page);
    if (to === null) return;
    event.preventDefault();
    event.stopPropagation();
    go(to);
  });

  return {
    node,
    /** Begin, once the node is in the page and has a width. */
    start() {
      resize();
      addEventListener("scroll", draw, { passive: true, signal });
      addEventListener("resize", () => grid?.width === node.clientWidth && draw(), { signal });
      // The parent grows when something above the grid does: then other rows are near the window.
      const watch = new ResizeObserver(() => (grid?.width === node.clientWidth ? draw() : resize()));
      watch.observe(node);
      if (node.parentElement) watch.observe(node.parentElement);
      signal.addEventListener("abort", () => (watch.disconnect(), clearTimeout(timer)), { once: true });
    },
    /**
     * Show these, in this order.
     * @param {any[]} list
     */
    show(list) {
      for (const index of [...cells.keys()]) drop(index);
      items = list;
      active = 0;
      grid = null; // hidden, it has no width
      if (node.clientWidth > 0) resize();
    },
    /**
     * The link of a tile, wherever it is, for the focus to go to.
     * @param {number} index
     * @returns {HTMLElement|null}
     */
    reveal(index) {
      if (index < 0 || index >= items.length) return null;
      active = index;
      draw();
      return linkAt(index);
    },
  };
}
