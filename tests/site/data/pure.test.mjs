import "../d3.mjs";
import assert from "node:assert/strict";
import test from "node:test";
import { selectFilters, classCounts, deadCount, neighboursOf } from "../../../site/js/data/filters.js";
import { count, ordinal, truncate, number, percent, plural, truncateStart } from "../../../site/js/text/format.js";
import {
  ascentCount,
  hasAscent,
  layerFolder,
  networkLabels,
  pictureUrl,
  previews,
  defaultTile,
} from "../../../site/js/data/manifest.js";
import { findMatches } from "../../../site/js/data/search.js";
import { binText, sparseBins } from "../../../site/js/plots/bins.js";

const filter = (channel, selectivity, active, score, classes) => ({
  channel,
  stats: { selectivity, active },
  max: classes.map((c) => ({ class: c, score })),
});
const filters = [
  filter(0, 0.2, 1, 5, [1, 1]),
  filter(1, null, 0, 0, [2]),
  filter(2, 0.9, 0.5, 5, [1, 2]),
  filter(3, 0, 0.5, -1, [0]),
];
const order = (choice) => selectFilters(filters, { class: null, ...choice }).map((f) => f.channel);

test("filters are sorted, highest first, equals by channel, unknown last", () => {
  assert.deepEqual(order({ sort: "channel" }), [0, 1, 2, 3]);
  assert.deepEqual(order({ sort: "selectivity" }), [2, 0, 3, 1]);
  assert.deepEqual(order({ sort: "active" }), [0, 2, 3, 1]);
  assert.deepEqual(order({ sort: "score" }), [0, 2, 1, 3]);
  assert.deepEqual(order({ sort: "score", class: 2 }), [2, 1]);
});

test("a filter's neighbours are those of the order that was chosen", () => {
  const beside = (choice, channel) => {
    const { place, of, chosen, before, after } = neighboursOf(filters, { class: null, ...choice }, channel);
    return [before?.channel ?? null, place, of, after?.channel ?? null, chosen];
  };
  assert.deepEqual(beside({ sort: "channel" }, 1), [0, 2, 4, 2, false]);
  assert.deepEqual(beside({ sort: "selectivity" }, 0), [2, 2, 4, 3, false]);
  assert.deepEqual(beside({ sort: "selectivity" }, 1), [3, 4, 4, null, false]);
  assert.deepEqual(beside({ sort: "score", class: 2 }, 2), [null, 1, 2, 1, true]);
  assert.deepEqual(beside({ sort: "score", class: 2 }, 3), [1, 4, 4, null, false], "not one of the class: among all");
});

test("a class counts once a filter", () => {
  assert.deepEqual(classCounts(filters), [
    [1, 2],
    [2, 2],
    [0, 1],
  ]);
  assert.equal(deadCount(filters), 1);
});

test("numbers as people read them", () => {
  assert.equal(number(1234.5), "1235");
  assert.equal(number(-0.01234), "\u22120.0123");
  assert.equal(number(0), "0");
  assert.equal(number(123456), "123\u202f456");
  assert.equal(number(null), "\u2013");
  assert.equal(number(1e-9), "1.00e-9");
  assert.equal(count(1234567), "1\u202f234\u202f567");
  assert.equal(percent(1), "100\u202f%");
  assert.equal(percent(0.9999), "> 99.9\u202f%");
  assert.equal(percent(0.00001), "< 0.1\u202f%");
  assert.equal(percent(0.034), "3.4\u202f%");
  assert.equal(plural(1, "image"), "1 image");
  assert.deepEqual([1, 2, 3, 4, 11, 12, 13, 21, 102, 111].map(ordinal), [
    "1st",
    "2nd",
    "3rd",
    "4th",
    "11th",
    "12th",
    "13th",
    "21st",
    "102nd",
    "111th",
  ]);
  assert.equal(truncate("abcdef", 4), "abc\u2026");
  assert.equal(truncateStart("layer1.0.conv1", 14), "layer1.0.conv1");
  assert.equal(truncateStart("features.denseblock2.denselayer3.conv2", 22), "\u2026denselayer3.conv2");
  assert.equal(truncateStart("a_name_without_any_dots_in_it", 8), "\u2026s_in_it");
});

const layer = { name: "a b", data: "layers/a%20b.json", channels: 20, kind: "Conv2d", shape: [20, 8, 8] };
const manifest = (ascent) => ({
  layers: [layer, { ...layer, name: "head.3", channels: 4 }],
  dataset: { classes: ["Tabby cat", "tench"] },
  stages: { scan: { complete: true }, ascent },
});

test("pictures have deterministic places", () => {
  assert.equal(layerFolder(layer), "a%20b");
  assert.equal(pictureUrl("s/", layer, "cropped", 7), "s/cropped/a%2520b/7.jpg");
});

test("how many filter images there are", () => {
  const made = (config, complete = true) => ascentCount(manifest({ complete, config }), layer);
  assert.equal(made({ filters: "all" }), 20);
  assert.equal(made({ filters: 8 }), 8);
  assert.equal(made({ filters: 800 }), 20);
  assert.equal(made({ filters: 8 }, false), 0);
  assert.equal(made(null, false), 0);
});

test("which filter images there are is a matter of runs", () => {
  const told = manifest({
    complete: false,
    config: {},
    made: {
      [layer.name]: [
        [2, 6],
        [19, 20],
      ],
    },
  });
  assert.equal(ascentCount(told, layer), 5);
  assert.deepEqual(
    [0, 2, 5, 6, 19].map((c) => hasAscent(told, layer, c)),
    [false, true, true, false, true],
  );
  assert.deepEqual(
    previews(told, layer, 5).map((p) => p.channel),
    [2, 3, 4, 5, 19],
  );
  const sizes = { tiles: { cropped: { [layer.name]: [48, 48] } } };
  assert.equal(defaultTile({ ...told, ...sizes }, layer), "crop");
  assert.equal(defaultTile(told, layer), "image", "no size of a crop, no crop");
  assert.equal(ascentCount(told, { ...layer, name: "another" }), 0);
});

test("cards show filter images only where there are enough", () => {
  const sizes = { tiles: { cropped: { [layer.name]: [48, 48] } } };
  const kinds = (filters) => previews({ ...manifest({ complete: true, config: { filters } }), ...sizes }, layer, 4);
  assert.deepEqual(
    kinds("all").map((p) => p.channel),
    [0, 5, 10, 15],
  );
  assert.equal(kinds(4)[3].channel, 3);
  assert.equal(kinds(2)[0].kind, "cropped");
  const none = { ...manifest({ complete: false }), stages: { scan: { complete: false }, ascent: { complete: false } } };
  assert.deepEqual(previews(none, layer, 4), []);
  assert.equal(defaultTile({ ...manifest({ complete: true, config: { filters: 8 } }), ...sizes }, layer), "crop");
});

test("cards show the best images where a unit sees all, and crops without their padding", () => {
  const scanned = manifest({ complete: false, config: null });
  const best = [0, 5, 10, 15].map((channel) => ({
    channel,
    image: channel + 100,
    position: [0, 0],
    box: [0, 0, 6, 6],
  }));
  assert.deepEqual(previews(scanned, layer, 2, { best }), [
    { kind: "image", channel: 0, image: 100 },
    { kind: "image", channel: 10, image: 110 },
  ]);
  assert.deepEqual(previews(scanned, layer, 4), [], "nothing is known");
  const seen = { ...layer, receptive_field: { size: [10, 10], stride: [2, 2], offset: [-4, -4] } };
  const crops = { ...scanned, tiles: { cropped: { [layer.name]: [48, 48] } } };
  const from = (known) => previews(crops, seen, 4, known).map(({ kind, entry }) => [kind, entry]);
  assert.deepEqual(from({ best: best.slice(0, 1) }), [
    ["cropped", best[0]],
    ["cropped", null],
    ["cropped", null],
    ["cropped", null],
  ]);
  const drawn = { ...scanned, stages: { ...scanned.stages, ascent: { made: { [layer.name]: [[0, 3]] } } } };
  assert.deepEqual(
    previews(drawn, layer, 3, { best }).map(({ kind }) => kind),
    ["max_activ", "max_activ", "max_activ"],
  );
  assert.deepEqual(previews(drawn, layer, 4, { best })[0].kind, "image", "a filter image short");
});

test("search finds layers, filters and classes", () => {
  const found = (query, current) =>
    findMatches(manifest({}), query, current).map((hit) => [hit.kind, hit.to.layer, hit.to.channel ?? hit.to.class]);
  assert.deepEqual(found("head.3"), [["layer", "head.3", null]]);
  assert.deepEqual(found("head.3 2"), [["filter", "head.3", 2]]);
  assert.deepEqual(found("15"), [["filter", "a b", 15]]);
  assert.deepEqual(found("filter 2", "head.3"), [
    ["filter", "head.3", 2],
    ["filter", "a b", 2],
  ]);
  assert.deepEqual(found("TENCH"), [["class", null, 1]]);
  assert.deepEqual(found("tench", "a b"), [["class", null, 1]]);
  assert.equal(found("zzz").length, 0);
  assert.equal(found("").length, 2);
});

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

test("networks that share a title are told apart by name", () => {
  const list = [
    { name: "a", title: "VGG16" },
    { name: "b", title: "VGG16" },
    { name: "c", title: "AlexNet" },
  ];
  assert.deepEqual(networkLabels(list), ["VGG16 (a)", "VGG16 (b)", "AlexNet"]);
});
