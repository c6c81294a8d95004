import assert from "node:assert/strict";
import test from "node:test";
import { Lru } from "../../../site/js/data/lru.js";

test("the cache forgets what was used longest ago", () => {
  const cache = new Lru(2);
  cache.set("a", 1);
  cache.set("b", 2);
  cache.get("a");
  cache.set("c", 3);
  assert.deepEqual([cache.get("a"), cache.get("b"), cache.get("c")], [1, undefined, 3]);
});

test("entries may count by their size, and the newest is always kept", () => {
  const cache = new Lru(10, (text) => text.length);
  cache.set("a", "12345");
  cache.set("b", "1234");
  cache.set("b", "12345");
  assert.deepEqual([...cache.values()], ["12345", "12345"]);
  cache.get("a");
  cache.set("c", "1");
  assert.deepEqual([cache.get("a"), cache.get("b"), cache.get("c")], ["12345", undefined, "1"]);
  cache.delete("a");
  cache.set("d", "123456789");
  assert.deepEqual([...cache.values()], ["1", "123456789"]);
  cache.set("e", "1".repeat(20));
  assert.deepEqual([...cache.values()], ["1".repeat(20)]);
});
