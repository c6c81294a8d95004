import assert from "node:assert/strict";
import test from "node:test";
import { fitToView, layoutMode, reveal, showsAll, visibleBox } from "../../../site/js/layout/viewport.js";

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
