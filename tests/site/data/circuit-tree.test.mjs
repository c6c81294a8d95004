import assert from "node:assert/strict";
import test from "node:test";
import { buildTree, removeNode, toggleNode } from "../../../site/js/data/circuit-tree.js";
import { formatRoute, parseRoute } from "../../../site/js/data/route.js";

const layers = ["a", "b", "c"].map((name) => ({ name, channels: 9 }));
const [a, b, c] = layers;
const manifest = {
  layers,
  edges: [
    ["a", "b"],
    ["b", "c"],
  ],
};

/** Filter n of a layer is made of filters n, n + 1, ... of the one before it; each has half the share of the last. */
function circuit(layer, channel) {
  const before = layers[layers.indexOf(layer) - 1];
  const after = layers[layers.indexOf(layer) + 1];
  const parts = (other) =>
    other ? [0.4, -0.2, 0.1].map((share, i) => ({ layer: other, channel: channel + i, value: share, share })) : [];
  const all = parts(before);
  const [excitedBy, inhibitedBy] = [all.filter(({ share }) => share > 0), all.filter(({ share }) => share < 0)];
  return { scale: 1, excitedBy, inhibitedBy, usedBy: parts(after) };
}

const tree = (query, { layer = c, find = circuit } = {}) => {
  const route = parseRoute(`#/n/circuit/${layer.name}/1?${query}`);
  return buildTree({ manifest, layer, channel: 1, route, circuit: find });
};
const shown = ({ nodes }) => nodes.map(({ key, layer, channel }) => `${key}=${layer.name}${channel}`).join(" ");

test("the tree reaches as deep and as wide as its route says, the largest share first", () => {
  assert.equal(shown(tree("depth=1&width=2")), "=c1 0=b1 1=b2");
  assert.equal(shown(tree("depth=2&width=2")), "=c1 0=b1 0.0=a1 0.1=a2 1=b2 1.0=a2 1.1=a3");
  const { nodes } = tree("depth=1&width=3");
  assert.deepEqual(
    nodes.map(({ part }) => part?.share),
    [undefined, 0.4, -0.2, 0.1],
  );
});

test("downstream, the tree follows what a filter is used by", () => {
  assert.equal(
    shown(tree("depth=2&width=2&direction=down", { layer: a })),
    "=a1 0=b1 0.0=c1 0.1=c2 1=b2 1.0=c2 1.1=c3",
  );
  const last = tree("direction=down").root;
  assert.deepEqual([last.canOpen, last.isOpen], [false, false]);
});

test("a filter that occurs twice is drawn twice and counted", () => {
  const copies = tree("depth=2&width=2").nodes.filter(({ layer, channel }) => layer === a && channel === 2);
  assert.deepEqual(
    copies.map(({ key, copies: many }) => [key, many]),
    [
      ["0.1", 2],
      ["1.0", 2],
    ],
  );
});

test("nodes are opened, folded and removed by the address, and back", () => {
  const route = parseRoute("#/n/circuit/c/1?depth=1&width=2");
  const first = (to) => buildTree({ manifest, layer: c, channel: 1, route: to, circuit }).nodes[1];
  const opened = toggleNode(route, first(route));
  assert.equal(formatRoute(opened), "#/n/circuit/c/1?depth=1&width=2&opened=0");
  assert.equal(first(opened).isOpen, true);
  assert.equal(formatRoute(toggleNode(opened, first(opened))), formatRoute(route));
  const deep = parseRoute("#/n/circuit/c/1?width=2");
  const folded = toggleNode(deep, first(deep));
  assert.equal(folded.folded, "0");
  assert.equal(shown(tree("width=2&folded=0")), "=c1 0=b1 1=b2 1.0=a2 1.1=a3");
  assert.equal(formatRoute(toggleNode(folded, first(folded))), formatRoute(deep));
  const removed = removeNode({ ...deep, opened: "0.1_1.0", folded: "0" }, first(deep));
  assert.deepEqual([removed.opened, removed.folded, removed.removed], ["1.0", null, "0"]);
  assert.equal(shown(tree("width=2&removed=0")), "=c1 1=b2 1.0=a2 1.1=a3");
});

test("circuits that are not read yet are asked for, and those that cannot be read end the tree", () => {
  const waiting = tree("width=2", { find: (layer, channel) => (layer === c ? circuit(layer, channel) : undefined) });
  assert.deepEqual([...waiting.missing], [b]);
  const damaged = tree("width=2", { find: (layer, channel) => (layer === c ? circuit(layer, channel) : null) });
  assert.equal(damaged.missing.size, 0);
  assert.deepEqual(
    damaged.nodes.map(({ failed, canOpen }) => [failed, canOpen]),
    [
      [false, true],
      [true, false],
      [true, false],
    ],
  );
});

test("a large tree leaves filters closed; the visitor can open them", () => {
  const many = Array.from({ length: 6 }, (_, i) => ({ name: `l${i}`, channels: 999 }));
  const edges = many.slice(1).map((layer, i) => [many[i].name, layer.name]);
  const find = (layer, channel) => {
    const before = many[many.indexOf(layer) - 1];
    const parts = Array.from({ length: 6 }, (_, i) => ({ layer: before, channel: i, value: 1, share: 0.1 }));
    return { scale: 1, excitedBy: channel >= 0 && before ? parts : [], inhibitedBy: [], usedBy: [] };
  };
  const build = (query) =>
    buildTree({
      manifest: { layers: many, edges },
      layer: many[5],
      channel: 0,
      route: parseRoute(`#/n/circuit/l5/0?${query}`),
      circuit: find,
    });
  const large = build("depth=4&width=6");
  assert.ok(large.full && large.nodes.length <= 400);
  assert.equal(build("depth=2&width=6").full, false);
  const closed = large.nodes.find(({ level, isOpen }) => level === 3 && !isOpen);
  const opened = build(`depth=4&width=6&opened=${closed.key}`);
  assert.equal(opened.nodes.find(({ key }) => key === closed.key).children.length, 6);
});
