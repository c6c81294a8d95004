import "../d3.mjs";
import assert from "node:assert/strict";
import test from "node:test";
import {
  changeText,
  correlationText,
  scaleText,
  measureSentence,
  rankText,
  changeSummary,
} from "../../../site/js/text/changes.js";
import {
  filterHistory,
  ranksIn,
  filterCount,
  layerHistory,
  layerRows,
  measureOf,
  pairName,
  pairOf,
  pairedClasses,
  channelsByChange,
  changeRank,
  valuesOf,
} from "../../../site/js/data/comparison.js";
import { binIndex, changeBins } from "../../../site/js/plots/bins.js";
import { findMatches } from "../../../site/js/data/search.js";
import { formatRoute, parseRoute, samePage, parentRoute } from "../../../site/js/data/route.js";
import { openStore } from "../../../site/js/data/store.js";
import { gridLayout } from "../../../site/js/layout/grid-layout.js";

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

const routes = [
  { comparison: "a-to-b" },
  { comparison: "a/b: c", layer: "x/y", by: "top_max", pair: "0-2", order: "place" },
  { comparison: "a-to-b", layer: "conv", channel: 7, tile: "crop", show: "overlay", by: "weights" },
  { network: "compare:a", layer: "conv" },
];

for (const route of routes) {
  test(`there and back: ${formatRoute(route)}`, () => {
    const read = parseRoute(formatRoute(route));
    for (const [key, value] of Object.entries(route)) assert.equal(read[key], value);
    assert.equal(formatRoute(read), formatRoute(route));
    assert.equal(read.network === null, route.network === undefined);
  });
}

test("no name of a network is taken for a comparison", () => {
  assert.equal(formatRoute({ network: "compare:a" }), "#/compare%3Aa");
  assert.equal(formatRoute({ comparison: "a-to-b", layer: "l" }), "#/compare:a-to-b/l");
  assert.equal(parseRoute("#/compare:").network, "compare:");
});

test("nonsense in the address of a comparison becomes the usual", () => {
  const route = parseRoute("#/compare:a?pair=x-1&order=up&by=");
  assert.deepEqual([route.pair, route.order, route.by], [null, "change", null]);
});

test("up leads from a compared filter to the comparison, and no further", () => {
  const filter = parseRoute("#/compare:a/l/3?by=weights&pair=0-1");
  assert.equal(formatRoute(parentRoute(filter)), "#/compare:a/l?by=weights&pair=0-1");
  assert.equal(formatRoute(parentRoute(parentRoute(filter))), "#/compare:a?by=weights&pair=0-1");
  assert.equal(parentRoute(parentRoute(parentRoute(filter))), null);
});

test("another measure is the same page, another pair is not", () => {
  assert.ok(samePage(parseRoute("#/compare:a/l?by=weights"), parseRoute("#/compare:a/l")));
  assert.ok(!samePage(parseRoute("#/compare:a/l?pair=0-1"), parseRoute("#/compare:a/l")));
  assert.ok(!samePage(parseRoute("#/compare:a"), parseRoute("#/a")));
});

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

test("values and what they say, in words", () => {
  const maps = { name: "maps", says: "…", signed: false, high: 2 };
  const shift = { name: "mean_shift", says: "…", signed: true, high: null };
  const filter = { k: 4, partner: [12, 0.75], channel: 3 };
  const say = (name, value, own = filter) => measureSentence({ name, says: "so much" }, value, own);
  assert.deepEqual(
    [changeText(maps, 0.5), changeText(shift, 0.5), changeText(shift, -0.5), changeText(shift, 0)],
    ["0.50", "+0.50", "\u22120.50", "0"],
  );
  assert.equal(changeText(maps, null), "\u2013");
  assert.deepEqual(
    [correlationText(1), correlationText(0.9999), correlationText(-0.5), correlationText(-0.001)],
    ["1.00", "over 0.99", "\u22120.50", "0.00"],
  );
  assert.match(scaleText(maps), /2: the opposite/);
  assert.match(scaleText(shift), /below it less/);
  assert.equal(say("top_max", 0.75), "3 of its 4 strongest images were replaced.");
  assert.equal(say("top_max", 0.25), "1 of its 4 strongest images was replaced.");
  assert.match(say("partner", 0.25), /filter 12 is most like it: their maps correlate at 0.75/);
  assert.doesNotMatch(say("partner", 0.25, { ...filter, partner: [3, 0.75] }), /filter 12/);
  assert.match(say("mean_shift", -0.5), /0.50 standard deviations lower/);
  assert.match(say("active", 0.12), /12 percentage points higher/);
  assert.match(say("difference", 3), /by 3.0 times how much/);
  assert.match(say("difference", 0.3), /by 30\u202f% of how much/);
  assert.match(say("cross", 1.2), /do not respond to each other/);
  assert.equal(say("of tomorrow", 0.5), "so much: 0.50.");
  assert.equal(say("maps", 0), "Nothing changed.");
  assert.match(say("maps", null), /Not defined/);
});

test("what became of a filter, in a few sentences", () => {
  const of = (values, k = 4) => changeSummary({ values }, 0, k);
  assert.match(
    of({ maps: [0.7], top_max: [1] }),
    /^It responds to little of what it did before: its maps correlate at 0.30. All 4 of its strongest/,
  );
  assert.match(of({ maps: [1.5] }), /other things than before/);
  assert.match(of({ maps: [0.001], top_max: [0] }), /almost exactly as before.*strongest images are the same\.$/);
  assert.match(of({ maps: [0], weights: [0.1] }), /maps are the same/);
  assert.equal(of({ maps: [0], top_max: [0] }), "Nothing changed in this filter, by any measure.");
  assert.match(of({ maps: [null] }), /^No measure is defined/);
  assert.match(of({ top_max: [0.5] }), /^2 of its 4 strongest images were replaced\.$/);
  assert.match(of({ top_max: [1] }, 1), /^Its strongest image was replaced\.$/);
  assert.equal(of({ selectivity: [0.5], maps: [null] }), "1 measure changed.");
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

test("layers and filters of a comparison are found", () => {
  const compared = { layers: [{ name: "conv", kind: "Conv2d", channels: 8 }], dataset: { name: "x", images: 3 } };
  assert.deepEqual(
    findMatches(compared, "conv 3", null).map(({ kind }) => kind),
    ["filter"],
  );
  assert.equal(findMatches(compared, "cat").length, 0);
});

test("a comparison is read with its layers", async () => {
  const files = {
    "s/comparisons.json": { format: 1, comparisons: [{ name: "a-to-b", title: "a", path: "a to b" }] },
    "s/a%20to%20b/comparison.json": { format: 1, name: "a-to-b", ...comparison },
    "s/a%20to%20b/layers/x.json": { format: 1, layer: "x", pairs: [] },
  };
  const asked = [];
  const fetch = async (url) => {
    asked.push(url);
    if (!(url in files)) return { ok: false, status: 404 };
    return { ok: true, status: 200, text: async () => JSON.stringify(files[url]) };
  };
  const store = openStore({ index: "s/index.json", fetch });
  assert.equal((await store.comparison("a-to-b")).stores.length, 3);
  assert.equal((await store.changes("a-to-b", "layers/x.json")).layer, "x");
  await store.comparison("a-to-b");
  assert.equal(asked.length, 3);
  await assert.rejects(store.comparison("other"), (error) => error.kind === "unknown");
  await assert.rejects(store.changes("a-to-b", "layers/y.json"), (error) => error.kind === "missing");
});

test("of stores that grow, a comparison is asked for only once it is there", async () => {
  const asked = [];
  const fetch = async (url) => {
    asked.push(url);
    return {
      ok: true,
      text: async () => JSON.stringify({ format: 1, comparisons: [{ name: "c", title: "c", path: "c" }] }),
    };
  };
  const store = openStore({ index: "s/index.json", fetch });
  store.follow({ networks: [], comparisons: [], waiting: ["c"] });
  assert.equal((await store.comparisons()).comparisons.length, 1);
  await assert.rejects(store.comparison("c"), (error) => error.kind === "waiting");
  assert.deepEqual(asked, ["s/comparisons.json"]);
});
