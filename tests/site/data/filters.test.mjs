import assert from "node:assert/strict";
import test from "node:test";
import { classCounts, classImages, deadCount, neighboursOf, selectFilters } from "../../../site/js/data/filters.js";

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

test("least active first", () => {
  const some = [0.5, null, 0, 1].map((active, channel) => ({ channel, stats: { active }, max: [] }));
  const sorted = (sort) => selectFilters(some, { sort, class: null }).map((one) => one.channel);
  assert.deepEqual(sorted("dead"), [2, 0, 3, 1]);
  assert.deepEqual(sorted("active"), [3, 0, 2, 1]);
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
