import assert from "node:assert/strict";
import test from "node:test";
import { Lru } from "../../../site/js/data/lru.js";
import { openStore, urlOf } from "../../../site/js/data/store.js";

const manifest = {
  format: 1,
  name: "n",
  layers: [],
  edges: [],
  dataset: {},
  input: {},
  stages: {},
  tiles: {},
  activation_edges: [],
};
const files = {
  "s/index.json": { format: 1, networks: [{ name: "n", title: "N", path: "my net" }] },
  "s/my%20net/network.json": manifest,
  "s/my%20net/layers/a%2520b.json": { format: 1, layer: "a b", filters: [] },
};

function world(changes = {}) {
  const all = { ...files, ...changes };
  const asked = [];
  const fetch = async (url) => {
    asked.push(url);
    if (all[url] instanceof Error) throw all[url];
    const value = all[url];
    if (value === undefined) return { ok: false, status: 404 };
    return { ok: true, status: 200, text: async () => (typeof value === "string" ? value : JSON.stringify(value)) };
  };
  return { asked, store: openStore({ index: "s/index.json", fetch, layers: 1 }) };
}

const kind = (expected) => (error) => error.name === "StoreError" && error.kind === expected;

test("paths are encoded part by part", () => assert.equal(urlOf("layers/a%20b.json"), "layers/a%2520b.json"));

test("reads once, and keeps", async () => {
  const { store, asked } = world();
  await store.network("n");
  assert.equal((await store.network("n")).name, "n");
  assert.equal(await store.folder("n"), "s/my%20net/");
  assert.deepEqual(asked, ["s/index.json", "s/my%20net/network.json"]);
});

test("a few filters of each layer: a file of a site, told of a store that grows", async () => {
  const few = [{ channel: 0, image: 3, position: [0, 0], box: [0, 0, 2, 2] }];
  const { store, asked } = world({ "s/my%20net/previews.json": { format: 1, layers: { "a b": few } } });
  assert.deepEqual(await store.previews("n"), { "a b": few });
  assert.ok(asked.includes("s/my%20net/previews.json"));
  const live = world();
  const layer = { data: "layers/a%20b.json", stamp: "1", made: {}, best: few };
  live.store.follow({ networks: [{ name: "n", path: "my net", files: {}, layers: { "a b": layer } }] });
  assert.deepEqual(await live.store.previews("n"), { "a b": few });
  assert.deepEqual(live.asked, []);
});

test("layers are kept, but not for ever", async () => {
  const { store, asked } = world({ "s/my%20net/layers/c.json": { format: 1, layer: "c", filters: [] } });
  await store.layer("n", "layers/a%20b.json");
  await store.layer("n", "layers/a%20b.json");
  await store.layer("n", "layers/c.json");
  await store.layer("n", "layers/a%20b.json");
  assert.equal(asked.filter((url) => url.includes("a%2520b")).length, 2);
});

for (const [name, changes, expected] of [
  ["missing", { "s/my%20net/network.json": undefined }, "missing"],
  ["cut off", { "s/my%20net/network.json": '{"format": 1, ' }, "broken"],
  ["not an object", { "s/my%20net/network.json": [] }, "broken"],
  ["without a field", { "s/my%20net/network.json": { format: 1 } }, "broken"],
  ["without a format", { "s/my%20net/network.json": { ...manifest, format: undefined } }, "broken"],
  ["newer", { "s/my%20net/network.json": { ...manifest, format: 2 } }, "format"],
  ["no connection", { "s/my%20net/network.json": new TypeError("x") }, "offline"],
]) {
  test(`a manifest that is ${name}`, async () => {
    await assert.rejects(world(changes).store.network("n"), kind(expected));
  });
}

test("a failure is not kept", async () => {
  const changes = { "s/index.json": new TypeError("x") };
  let down = true;
  const good = JSON.stringify(files["s/index.json"]);
  const store = openStore({
    index: "s/index.json",
    fetch: async () => {
      if (down) throw changes["s/index.json"];
      return { ok: true, text: async () => good };
    },
  });
  await assert.rejects(store.index(), kind("offline"));
  down = false;
  assert.equal((await store.index()).networks.length, 1);
});

test("an unknown network", async () => {
  await assert.rejects(world().store.network("other"), kind("unknown"));
});

test("an abort stays an abort", async () => {
  const control = new AbortController();
  const store = openStore({
    index: "s/index.json",
    fetch: async (_, { signal }) => {
      control.abort();
      throw signal.reason;
    },
  });
  await assert.rejects(store.index(control.signal), { name: "AbortError" });
});

test("the cache forgets what was used longest ago", () => {
  const cache = new Lru(2);
  cache.set("a", 1);
  cache.set("b", 2);
  cache.get("a");
  cache.set("c", 3);
  assert.deepEqual([cache.get("a"), cache.get("b"), cache.get("c")], [1, undefined, 3]);
});
