import assert from "node:assert/strict";
import test from "node:test";
import { withoutShortcuts } from "../../../site/js/layout/shortcuts.js";

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
