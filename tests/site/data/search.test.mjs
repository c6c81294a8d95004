import assert from "node:assert/strict";
import test from "node:test";
import { findMatches } from "../../../site/js/data/search.js";

const layer = { name: "a b", data: "layers/a%20b.json", channels: 20, kind: "Conv2d", shape: [20, 8, 8] };

const manifest = (ascent) => ({
  layers: [layer, { ...layer, name: "head.3", channels: 4 }],
  dataset: { classes: ["Tabby cat", "tench"] },
  stages: { scan: { complete: true }, ascent },
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

test("layers and filters of a comparison are found", () => {
  const compared = { layers: [{ name: "conv", kind: "Conv2d", channels: 8 }], dataset: { name: "x", images: 3 } };
  assert.deepEqual(
    findMatches(compared, "conv 3", null).map(({ kind }) => kind),
    ["filter"],
  );
  assert.equal(findMatches(compared, "cat").length, 0);
});
