import assert from "node:assert/strict";
import test from "node:test";
import {
  changeRank,
  channelsByChange,
  filterCount,
  filterHistory,
  layerHistory,
  layerRows,
  measureOf,
  pairName,
  pairOf,
  pairedClasses,
  ranksIn,
  valuesOf,
} from "../../../site/js/data/comparison.js";
import { rankText } from "../../../site/js/text/changes.js";

const distribution = (mean) => ({
  counted: 2,
  unchanged: 0,
  mean,
  median: mean,
  max: mean,
  most: 0,
  histogram: [0, 2],
});

const change = (mean) => ({ summary: "", distributions: mean === null ? {} : { maps: distribution(mean) } });

const comparison = {
  stores: [{ name: "a" }, { name: "b" }, { name: "c" }],
  measures: [{ name: "maps" }, { name: "weights" }],
  pairs: [
    { from: 0, to: 1, summary: "one" },
    { from: 0, to: 2, summary: "two" },
    { from: 1, to: 2, summary: "three" },
  ],
  layers: [
    { name: "first", channels: 2, changes: [change(0), change(0.1), change(0.1)] },
    { name: "relu", channels: 2, changes: [change(null), change(null), change(null)] },
    { name: "last", channels: 3, changes: [change(0.2), change(0.5), change(0.3)] },
  ],
};

test("a pair is what was asked for, else the whole way", () => {
  assert.equal(pairOf(comparison, null).summary, "two");
  assert.equal(pairOf(comparison, "1-2").at, 2);
  assert.equal(pairOf(comparison, "2-1").summary, "two");
  assert.equal(pairName(pairOf(comparison, "0-1")), "0-1");
  assert.equal(pairOf({ stores: [1, 2], pairs: [{ from: 0, to: 1 }] }, null).at, 0);
});

test("a measure is what was asked for, else the first", () => {
  assert.equal(measureOf(comparison, "weights").name, "weights");
  assert.equal(measureOf(comparison, "nothing").name, "maps");
  assert.equal(measureOf(comparison, null).name, "maps");
});

test("layers by change, or in order; those without the measure last", () => {
  const names = (order) => layerRows(comparison, 1, "maps", order).map(({ layer }) => layer.name);
  assert.deepEqual(names("place"), ["first", "relu", "last"]);
  assert.deepEqual(names("change"), ["last", "first", "relu"]);
  assert.deepEqual(
    layerRows(comparison, 1, "maps").map(({ at }) => at),
    [0, 1, 2],
  );
  assert.equal(filterCount(comparison), 7);
});

test("filters by size of change, whatever the sign; equals by channel, unknown ones last", () => {
  assert.deepEqual(channelsByChange([0, null, -0.5, 0.2, 0.5, 0]), [2, 4, 3, 0, 5, 1]);
  assert.deepEqual(valuesOf({ values: {} }, "maps", 2), [null, null]);
  assert.deepEqual(channelsByChange(valuesOf({ values: {} }, "maps", 3)), [0, 1, 2]);
});

test("where a filter stands", () => {
  const values = [0, null, -0.5, 0.2, 0.5];
  assert.deepEqual(changeRank(values, 3), { rank: 3, of: 4, equal: 1 });
  assert.deepEqual(changeRank(values, 4), { rank: 1, of: 4, equal: 2 });
  assert.equal(changeRank(values, 1), null);
  assert.equal(changeRank(values, 9), null);
  assert.equal(rankText({ rank: 1, of: 4, equal: 2 }), "one of the 2 most changed of 4 filters");
  const words = [1, 2, 4, 11, 12, 13, 21, 22, 103, 111].map(
    (rank) => rankText({ rank, of: 200, equal: 1 }).split(" ")[1],
  );
  assert.deepEqual(words, ["most", "second", "4th", "11th", "12th", "13th", "21st", "22nd", "103rd", "111th"]);
});

test("what became of an image", () => {
  const list = (...ids) => ids.map((image) => ({ image }));
  assert.deepEqual(ranksIn(list(4, 7, 1), list(7, 4, 9)), [2, 1, null]);
  assert.deepEqual(ranksIn(list(4), []), [null]);
});

test("two class profiles: what stands out in either comes first", () => {
  const rows = pairedClasses(
    [
      [0, 4],
      [1, 1],
    ],
    [
      [2, 40],
      [0, 20],
    ],
  );
  assert.deepEqual(rows, [
    { index: 0, before: 4, after: 20 },
    { index: 2, before: null, after: 40 },
    { index: 1, before: 1, after: null },
  ]);
  assert.equal(
    pairedClasses(
      [
        [0, 4],
        [1, 1],
      ],
      [[2, 40]],
      2,
    ).length,
    2,
  );
  assert.deepEqual(pairedClasses([], []), []);
  assert.deepEqual(pairedClasses([[3, -2]], [[3, 0]]), [{ index: 3, before: -2, after: 0 }]);
});

test("a filter over time: since the first, and by the step", () => {
  const file = {
    pairs: [
      [0, 1, 0.2],
      [0, 2, 0.5],
      [1, 2, 0.4],
    ].map(([from, to, v]) => ({ from, to, values: { maps: [null, v] } })),
  };
  assert.deepEqual(filterHistory(comparison, file, "maps", 1), [
    { store: 0, since: 0, step: 0 },
    { store: 1, since: 0.2, step: 0.2 },
    { store: 2, since: 0.5, step: 0.4 },
  ]);
  assert.deepEqual(
    filterHistory(comparison, file, "maps", 0).map(({ since }) => since),
    [0, null, null],
  );
  assert.deepEqual(
    filterHistory(comparison, file, "weights", 1).map(({ step }) => step),
    [0, null, null],
  );
  assert.deepEqual(layerHistory(comparison, 2, "maps"), [0, 0.2, 0.5]);
  assert.deepEqual(layerHistory(comparison, 1, "maps"), [0, null, null]);
});
