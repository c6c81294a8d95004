import assert from "node:assert/strict";
import test from "node:test";
import { gridLayout, keyTarget, tilePosition, tilesInRange } from "../../../site/js/layout/grid-layout.js";

const grid = gridLayout({ count: 2048, width: 1200, view: 1280 });

test("tiles fill the width, and all rows have a place", () => {
  for (const [width, view] of [
    [328, 360],
    [1200, 1280],
    [2430, 2560],
  ]) {
    const { columns, tileWidth, gap, rows, tileHeight, height, count } = gridLayout({ count: 2048, width, view });
    const used = columns * tileWidth + (columns - 1) * gap;
    assert.ok(used <= width && used > width - columns, `${used} of ${width}`);
    assert.ok(rows * columns >= count && (rows - 1) * columns < count);
    const last = tilePosition({ columns, tileWidth, tileHeight, gap }, count - 1);
    assert.equal(last.y + tileHeight, height);
  }
  assert.equal(gridLayout({ count: 0, width: 1200, view: 1280 }).height, 0);
  assert.equal(gridLayout({ count: 3, width: 20, view: 360 }).columns, 1);
});

test("only rows near the window are wanted", () => {
  const step = grid.tileHeight + grid.gap;
  const [from, to] = tilesInRange(grid, 50 * step + 1, 55 * step - 1);
  assert.deepEqual([from, to], [50 * grid.columns, 55 * grid.columns]);
  const [before, after] = tilesInRange(grid, 50 * step + 1, 55 * step - 1, 2);
  assert.deepEqual([before, after], [48 * grid.columns, 57 * grid.columns]);
  assert.deepEqual(tilesInRange(grid, -900, -100), [0, 0]);
  assert.equal(tilesInRange(grid, -900, 10)[0], 0);
  const [start, end] = tilesInRange(grid, grid.height + 500, grid.height + 900, 3);
  assert.equal(end, 2048);
  assert.ok(start >= 2048 - 3 * grid.columns);
});

test("keys lead through all tiles", () => {
  const { columns, count } = grid;
  const to = (key, at) => keyTarget(key, at, grid, 5);
  assert.equal(to("ArrowRight", 0), 1);
  assert.equal(to("ArrowRight", count - 1), count - 1);
  assert.equal(to("ArrowLeft", 0), 0);
  assert.equal(to("ArrowDown", 3), 3 + columns);
  assert.equal(to("ArrowUp", 3), 3);
  assert.equal(to("PageDown", 3), 3 + 5 * columns);
  assert.equal(to("PageUp", 3 + 7 * columns), 3 + 2 * columns);
  assert.equal(to("Home", 700), 0);
  assert.equal(to("End", 700), count - 1);
  assert.equal(to("a", 700), null);
  // The last row is short: down from above its gap leads to its last tile.
  const short = gridLayout({ count: columns + 2, width: 1200, view: 1280 });
  assert.equal(keyTarget("ArrowDown", columns - 1, short, 1), columns + 1);
});

test("tiles of two frames: the frames stay square, and two tiles fit a phone", () => {
  for (const [width, view] of [
    [328, 360],
    [358, 390],
    [1200, 1280],
    [2430, 2560],
  ]) {
    const one = gridLayout({ count: 100, width, view });
    const two = gridLayout({ count: 100, width, view, frames: 2 });
    assert.ok(two.columns >= 2 && two.columns <= one.columns);
    assert.ok(two.columns * two.tileWidth + (two.columns - 1) * two.gap <= width);
    // What is below a frame takes the same room: a tile of two is as high as its frame is less wide than one of one.
    const foot = one.tileHeight - one.tileWidth;
    assert.ok(Math.abs(two.tileHeight - foot - (two.tileWidth - 9) / 2 - 6) <= 1);
  }
});
