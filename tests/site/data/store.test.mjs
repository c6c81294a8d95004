import assert from "node:assert/strict";
import test from "node:test";
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

test("a comparison is read with its layers", async () => {
  const files = {
    "s/comparisons.json": { format: 1, comparisons: [{ name: "a-to-b", title: "a", path: "a to b" }] },
    "s/a%20to%20b/comparison.json": {
      format: 1,
      name: "a-to-b",
      stores: [{}, {}, {}],
      measures: [],
      pairs: [],
      layers: [],
    },
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

const DONE = { scan: true, circuits: true, gradients: true, ascent: true };

const layer = (stamp) => ({ data: "layers/a.json", stamp, made: { cropped: [[0, 8]] } });

function network(changes = {}) {
  return { name: "n", path: "n", files: { "network.json": "1" }, layers: {}, stages: DONE, progress: null, ...changes };
}

const live = (...networks) => ({ networks, waiting: [] });

test("a store that grows: nothing is asked for that is not there, and what has changed is read again", async () => {
  const asked = [];
  const fetch = async (url) => {
    asked.push(url);
    const value =
      url === "s/index.json"
        ? { format: 1, networks: [{ name: "n", title: "N", path: "n" }] }
        : url === "s/n/network.json"
          ? manifest
          : { format: 1, layer: "a", filters: [] };
    return { ok: true, status: 200, text: async () => JSON.stringify(value) };
  };
  const store = openStore({ index: "s/index.json", fetch });
  assert.equal(store.made("n", "a"), null);
  store.follow(live(network()));
  await store.network("n");
  await assert.rejects(store.layer("n", "layers/a.json"), (error) => error.kind === "waiting");
  assert.deepEqual(store.made("n", "a"), {});
  store.follow(live(network({ layers: { a: layer("1") } })));
  await store.layer("n", "layers/a.json");
  await store.layer("n", "layers/a.json");
  assert.deepEqual(store.made("n", "a"), { cropped: [[0, 8]] });
  store.follow(live(network({ layers: { a: layer("2") } })));
  await store.network("n");
  await store.layer("n", "layers/a.json");
  assert.deepEqual(asked, ["s/index.json", "s/n/network.json", "s/n/layers/a.json", "s/n/layers/a.json"]);
});

test("what is replaced while it is read is not kept", async () => {
  let answer;
  const fetch = (url) =>
    url.endsWith("a.json")
      ? new Promise(
          (resolve) =>
            (answer = () => resolve({ ok: true, text: async () => '{"format":1,"layer":"a","filters":[]}' })),
        )
      : Promise.resolve({
          ok: true,
          text: async () => '{"format":1,"networks":[{"name":"n","title":"N","path":"n"}]}',
        });
  const store = openStore({ index: "s/index.json", fetch });
  store.follow(live(network({ layers: { a: layer("1") } })));
  const reading = store.layer("n", "layers/a.json");
  while (!answer) await new Promise((resolve) => setTimeout(resolve));
  store.follow(live(network({ layers: { a: layer("2") } })));
  answer();
  await reading;
  answer = null;
  const again = store.layer("n", "layers/a.json");
  while (!answer) await new Promise((resolve) => setTimeout(resolve));
  answer();
  await again;
});

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
  const growing = world();
  const kept = { data: "layers/a%20b.json", stamp: "1", made: {}, best: few };
  growing.store.follow({ networks: [{ name: "n", path: "my net", files: {}, layers: { "a b": kept } }] });
  assert.deepEqual(await growing.store.previews("n"), { "a b": few });
  assert.deepEqual(growing.asked, []);
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
  ["newer", { "s/my%20net/network.json": { ...manifest, format: 3 } }, "format"],
  ["no connection", { "s/my%20net/network.json": new TypeError("x") }, "offline"],
]) {
  test(`a manifest that is ${name}`, async () => {
    await assert.rejects(world(changes).store.network("n"), kind(expected));
  });
}

const pack = {
  path: "p.bin",
  items: [0, 2],
  kinds: ["a", "b"],
  lengths: [
    [1, 0],
    [2, 3],
  ],
};
const packed = (pictures, thumbs = []) => ({ format: 2, layer: "a b", filters: [], packs: { pictures, thumbs } });

test("the images are the same in both formats", async () => {
  const images = { 4: { path: "cat/1.jpg", class: 0 } };
  const old = world({ "s/my%20net/images.json": images });
  assert.deepEqual(await old.store.images("n"), { images });
  const file = { format: 2, images, packs: [pack] };
  const now = world({ "s/my%20net/images.json": file });
  assert.deepEqual(await now.store.images("n"), file);
  for (const damaged of [
    { ...file, format: 3 },
    { format: 2, images },
    { ...file, packs: [{}] },
    { ...file, packs: {} },
  ]) {
    const { store } = world({ "s/my%20net/images.json": damaged });
    await assert.rejects(store.images("n"), kind(damaged.format === 3 ? "format" : "broken"));
  }
});

test("a layer whose packs are damaged is reported", async () => {
  const read = (file) => world({ "s/my%20net/layers/a%2520b.json": file }).store.layer("n", "layers/a%20b.json");
  assert.deepEqual((await read(packed([pack], [pack]))).packs.thumbs, [pack]);
  for (const damaged of [
    { ...pack, path: 3 },
    { ...pack, items: [0] },
    { ...pack, kinds: ["a"] },
    { ...pack, lengths: [[1, 0], 2] },
    {
      ...pack,
      lengths: [
        [1, 0],
        [-2, 3],
      ],
    },
    {
      ...pack,
      lengths: [
        [1, 0],
        [2, "3"],
      ],
    },
    null,
    "p.bin",
  ]) {
    await assert.rejects(read(packed([pack], [damaged])), kind("broken"));
    await assert.rejects(read(packed([damaged])), kind("broken"));
  }
  await assert.rejects(read({ ...packed([]), packs: {} }), kind("broken"));
});

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
