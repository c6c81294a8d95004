/** Arrow keys in a grid of links or buttons, of which one at a time is in the tab order. */

/**
 * @param {HTMLElement} grid
 * @param {() => HTMLElement[]} items those that can be reached, in their order
 * @param {(item: HTMLElement) => void} [focus] how to go to one
 */
export function rovingTabindex(grid, items, focus = (item) => item.focus()) {
  const mark = (chosen) => {
    for (const item of grid.querySelectorAll('[tabindex="0"]')) item.tabIndex = -1;
    if (chosen) chosen.tabIndex = 0;
  };
  grid.addEventListener("focusin", (event) => {
    const item = items().find((one) => one.contains(event.target));
    if (item) mark(item);
  });
  grid.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const all = items();
    const at = all.indexOf(document.activeElement);
    if (at < 0) return;
    const to = target(all, at, event.key);
    if (to === null) return;
    event.preventDefault();
    event.stopPropagation();
    if (all[to]) focus(all[to]);
  });
  return { reset: () => mark(items()[0]), mark };
}

function target(all, at, key) {
  switch (key) {
    case "ArrowRight":
      return Math.min(all.length - 1, at + 1);
    case "ArrowLeft":
      return Math.max(0, at - 1);
    case "Home":
      return 0;
    case "End":
      return all.length - 1;
    case "ArrowDown":
    case "ArrowUp":
      return vertical(all, at, key === "ArrowDown" ? 1 : -1);
    default:
      return null;
  }
}

/** The nearest item in the next row that has one, by where items are on the screen. */
function vertical(all, at, sign) {
  const here = all[at].getBoundingClientRect();
  let best = at;
  let bestScore = Infinity;
  for (let i = at + sign; i >= 0 && i < all.length; i += sign) {
    const there = all[i].getBoundingClientRect();
    const down = (there.top - here.top) * sign;
    if (down < here.height / 2) continue;
    const score = down * 4 + Math.abs(there.left - here.left);
    if (score < bestScore) [best, bestScore] = [i, score];
    else if (down * 4 > bestScore) break;
  }
  return best;
}
