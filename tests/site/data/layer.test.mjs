import "../d3.mjs";
import assert from "node:assert/strict";
import test from "node:test";
import { selectFilters, classImages } from "../../../site/js/data/filters.js";
import { hasMap, defaultTile } from "../../../site/js/data/manifest.js";
import { valueBins } from "../../../site/js/plots/bins.js";
import { fullestText } from "../../../site/js/plots/value-histogram.js";
import { formatRoute, parseRoute } from "../../../site/js/data/route.js";
import { keyTarget, gridLayout, tilePosition, tilesInRange } from "../../../site/js/layout/grid-layout.js";

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

test("histograms have round borders and lose no value", () => {
  const rows = valueBins([0, 0.05, 0.32, 1, 1, null, undefined, NaN], { domain: [0, 1] });
  assert.equal(rows.length, 20);
  assert.deepEqual(
    rows.slice(2, 4).map((row) => row.to),
    [0.15, 0.2],
  );
  assert.deepEqual([rows[0].n, rows[1].n, rows[6].n, rows[19].n], [1, 1, 1, 2]);
  const free = valueBins([-3.2, 0, 17, 40]);
  assert.ok(free[0].from <= -3.2 && free.at(-1).to >= 40 && free.length <= 21);
  assert.equal(
    free.reduce((sum, row) => sum + row.n, 0),
    4,
  );
  assert.deepEqual(valueBins([null]), []);
  for (const same of [
    [0, 0],
    [7, 7],
    [-2, -2],
    [1e-9, 1e-9],
  ]) {
    const bins = valueBins(same);
    assert.equal(
      bins.reduce((sum, row) => sum + row.n, 0),
      2,
      String(same),
    );
  }
});

test("a far value does not flatten the others", () => {
  const rows = valueBins([...Array.from({ length: 50 }, (_, i) => 1 + i / 50), 3000], { clip: true });
  assert.ok(rows.at(-1).to < 10);
  assert.ok(rows.at(-1).more);
  assert.equal(
    rows.reduce((sum, row) => sum + row.n, 0),
    51,
  );
  assert.match(fullestText(rows, String), /^most \(\d+\) have /);
});

test("least active first", () => {
  const filters = [0.5, null, 0, 1].map((active, channel) => ({ channel, stats: { active }, max: [] }));
  const order = (sort) => selectFilters(filters, { sort, class: null }).map((one) => one.channel);
  assert.deepEqual(order("dead"), [2, 0, 3, 1]);
  assert.deepEqual(order("active"), [3, 0, 2, 1]);
});

test("images of a class: the filter's own first", () => {
  const best = [
    { image: 4, class: 1, score: 9 },
    { image: 2, class: 0, score: 8 },
    { image: 7, class: 1, score: 7 },
  ];
  const images = Object.fromEntries([1, 2, 4, 5, 7, 9].map((id) => [id, { class: id === 2 ? 0 : 1 }]));
  const found = classImages(best, images, 1, 4);
  assert.deepEqual(
    found.map((one) => [one.image, one.rank]),
    [
      [4, 1],
      [7, 3],
      [1, null],
      [5, null],
    ],
  );
  assert.deepEqual(
    classImages(best, {}, 1).map((one) => one.image),
    [4, 7],
  );
  assert.deepEqual(classImages(best, images, 8), []);
});

test("a layer without a map shows whole images", () => {
  const flat = { name: "fc", shape: [10, 1, 1], channels: 10, receptive_field: null };
  assert.ok(!hasMap(flat));
  assert.ok(!hasMap({ shape: [10] }));
  assert.ok(hasMap({ shape: [10, 1, 2] }));
  assert.equal(defaultTile({ stages: {} }, flat), "image");
});

test("the new choices are kept in the address", () => {
  const hash = formatRoute({ network: "n", layer: "l", sort: "dead", tile: "image" });
  assert.equal(hash, "#/n/l?sort=dead&tile=image");
  assert.equal(parseRoute(hash).tile, "image");
});
