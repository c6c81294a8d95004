import "../d3.mjs";
import assert from "node:assert/strict";
import test from "node:test";
import { binIndex, binText, changeBins, sparseBins, valueBins } from "../../../site/js/plots/bins.js";
import { fullestText } from "../../../site/js/plots/value-histogram.js";

test("bins reach one past the occupied ones, within the borders", () => {
  const rows = sparseBins(
    [
      [2, 5],
      [4, 1],
    ],
    [-1, 0, 1, 2],
  );
  assert.deepEqual(
    rows.map((row) => row.n),
    [0, 5, 0, 1],
  );
  assert.deepEqual([rows[0].from, rows[0].to, rows.at(-1).to], [-1, 0, Infinity]);
  assert.equal(binText(rows.at(-1)), "2.00 or more");
  assert.deepEqual(sparseBins([], [0]), []);
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

test("a border belongs to the bin above it, and what did not change has a bin", () => {
  const edges = [-0.1, -1e-6, 1e-6, 0.1];
  assert.deepEqual(
    [-1, -0.1, -1e-6, 0, 1e-6, 0.1, 9].map((value) => binIndex(edges, value)),
    [0, 1, 2, 2, 3, 4, 4],
  );
  const rows = changeBins([1, 2, 3, 4, 5], edges);
  assert.deepEqual(
    rows.map(({ same }) => same),
    [false, false, true, false, false],
  );
  assert.deepEqual([rows[0].from, rows[0].to, rows[4].from, rows[4].to], [-Infinity, -0.1, 0.1, Infinity]);
  assert.ok(changeBins([1, 2], [1e-6])[0].same);
});
