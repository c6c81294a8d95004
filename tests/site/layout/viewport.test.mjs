import assert from "node:assert/strict";
import test from "node:test";
import { prefetch } from "../../../site/js/data/prefetch.js";
import { fitToView, layoutMode, reveal, visibleBox, showsAll } from "../../../site/js/layout/viewport.js";
import { withoutShortcuts } from "../../../site/js/layout/shortcuts.js";

const view = { width: 1000, height: 600 };

test("a list on a phone, rows for a chain, a map for many branches", () => {
  assert.equal(layoutMode({ room: 360, layers: 90, chain: false }), "list");
  assert.equal(layoutMode({ room: 1200, layers: 90, chain: true }), "rows");
  assert.equal(layoutMode({ room: 1200, layers: 6, chain: false }), "rows");
  assert.equal(layoutMode({ room: 1200, layers: 60, chain: false }), "map");
});

test("all of it, in the middle, never enlarged", () => {
  const place = fitToView({ width: 2000, height: 1000 }, view, 0);
  assert.deepEqual(place, { k: 0.5, x: 0, y: 50 });
  assert.ok(showsAll(place, { width: 2000, height: 1000 }, view));
  assert.ok(!showsAll({ ...place, x: -20 }, { width: 2000, height: 1000 }, view));
  assert.deepEqual(fitToView({ width: 100, height: 100 }, view, 24), { k: 1, x: 450, y: 250 });
});

test("what the window shows, in the drawing's own measure", () => {
  assert.deepEqual(visibleBox({ k: 0.5, x: -100, y: 50 }, view), { x: 200, y: -100, width: 2000, height: 1200 });
});

test("a card is brought in only when it is out or covered", () => {
  const keep = { margin: 20, corner: { width: 200, height: 100 } };
  const at = { k: 1, x: 0, y: 0 };
  const box = (x, y) => ({ x, y, width: 100, height: 100 });
  assert.equal(reveal(at, box(100, 100), view, keep), at);
  assert.deepEqual(reveal(at, box(2000, 100), view, keep), { k: 1, x: -1550, y: 150 });
  assert.notEqual(reveal(at, box(850, 450), view, keep), at);
  assert.equal(reveal(at, box(850, 450), view, { ...keep, corner: null }), at);
});

test("shortcuts are what others reach too", () => {
  const names = ["a", "b", "c", "d"];
  const edges = [
    ["a", "b"],
    ["b", "c"],
    ["a", "c"],
    ["a", "d"],
    ["c", "d"],
    ["x", "a"],
    ["d", "a"],
  ];
  const { plain, shortcuts } = withoutShortcuts(names, edges);
  assert.deepEqual(plain, [
    ["a", "b"],
    ["b", "c"],
    ["c", "d"],
  ]);
  assert.deepEqual(shortcuts, [
    ["a", "c"],
    ["a", "d"],
  ]);
});

test("a dense network is a chain and shortcuts, found in good time", () => {
  const names = Array.from({ length: 200 }, (_, i) => `l${i}`);
  const edges = names.flatMap((a, i) => names.slice(i + 1).map((b) => [a, b]));
  const start = performance.now();
  const { plain, shortcuts } = withoutShortcuts(names, edges);
  assert.ok(performance.now() - start < 500);
  assert.deepEqual([plain.length, shortcuts.length], [199, (200 * 199) / 2 - 199]);
});

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test("only what is lingered at is fetched prefetch, and given up on leaving", async () => {
  const asked = [];
  const view = new AbortController();
  const next = prefetch({
    signal: view.signal,
    wait: 10,
    idle: (work) => work(),
    fetch: async (data, signal) => asked.push({ data, signal }) && Promise.reject(new Error("no")),
  });
  next.request("a");
  next.request("b");
  next.request("b");
  await pause(30);
  assert.deepEqual(
    asked.map(({ data }) => data),
    ["b"],
  );
  next.cancel();
  assert.ok(asked[0].signal.aborted);
  next.request("c");
  view.abort();
  await pause(30);
  next.request("d");
  await pause(30);
  assert.equal(asked.length, 1);
});
