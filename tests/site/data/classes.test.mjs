import assert from "node:assert/strict";
import test from "node:test";
import { initialTileCount, filtersByLayer, classSummary } from "../../../site/js/data/classes.js";

const manifest = {
  layers: [
    { name: "a", channels: 4 },
    { name: "b", channels: 2 },
    { name: "c", channels: 0 },
  ],
};

test("filters are grouped by layer, in the order of the file", () => {
  const all = filtersByLayer(
    manifest,
    {
      filters: [
        [],
        [
          [1, 0, 0.9],
          [0, 3, 0.5],
          [0, 1, null],
        ],
      ],
    },
    1,
  );
  assert.deepEqual(
    all.map((home) => home.filters),
    [
      [
        { channel: 3, selectivity: 0.5 },
        { channel: 1, selectivity: null },
      ],
      [{ channel: 0, selectivity: 0.9 }],
      [],
    ],
  );
  const { filters, layers, most } = classSummary(all);
  assert.deepEqual([filters, layers, most.layer.name, most.share], [3, 2, "a", 0.5]);
});

test("a class without filters, and none at all", () => {
  for (const classes of [{ filters: [[]] }, { filters: [] }, { filters: "x" }, {}]) {
    const { filters, layers, most } = classSummary(filtersByLayer(manifest, classes, 0));
    assert.deepEqual([filters, layers, most], [0, 0, null]);
  }
});

test("entries that fit no layer or filter are left out", () => {
  const rows = [[9, 0, 1], [-1, 0, 1], [0, 4, 1], [0, -1, 1], [0, "1", 1], null, "x", [1, 1, "high"]];
  const all = filtersByLayer(manifest, { filters: [rows] }, 0);
  assert.deepEqual(
    all.flatMap((home) => home.filters),
    [{ channel: 1, selectivity: null }],
  );
});

test("many layers show fewer tiles each", () => assert.ok(initialTileCount(100) < initialTileCount(13)));
