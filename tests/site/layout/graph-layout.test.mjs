import "../d3.mjs";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import vm from "node:vm";
import {
  foldToFit,
  isChain,
  layout,
  ranks,
  roundedPath,
  planColumns,
  planColumnsTight,
} from "../../../site/js/layout/graph-layout.js";

import { stackColumns } from "../../../site/js/layout/column-stacking.js";

const file = new URL("../../../site/vendor/dagre-3.1.3/dagre.min.js", import.meta.url);
vm.runInThisContext(readFileSync(file, "utf8"));
const dagre = globalThis.dagre;
const box = { width: 200, height: 100, gapX: 40, gapY: 40, room: 1000 };

function chain(n) {
  const names = Array.from({ length: n }, (_, i) => `l${i}`);
  return [names, names.slice(1).map((name, i) => [names[i], name])];
}

function apart(plan, { width, height } = box) {
  const all = [...plan.cards.values()];
  for (const [i, a] of all.entries()) {
    for (const b of all.slice(i + 1)) {
      const clear = Math.abs(a.x - b.x) >= width || Math.abs(a.y - b.y) >= height;
      assert.ok(clear, `${JSON.stringify(a)} ${JSON.stringify(b)}`);
    }
  }
  for (const { x } of all) assert.ok(x >= 0 && x + width <= Math.max(plan.width, width) + 1);
}

test("a chain fills rows from the left", () => {
  const plan = layout(dagre, ...chain(13), box);
  assert.deepEqual([plan.cards.get("l3").x, plan.cards.get("l3").row], [720, 0]);
  assert.deepEqual([plan.cards.get("l4").x, plan.cards.get("l4").y], [0, 140]);
  assert.equal(plan.height, 4 * 100 + 3 * 40);
  assert.equal(plan.edges.length, 12);
  apart(plan);
});

test("branches lie beside each other", () => {
  const names = ["a", "b", "c", "d", "e"];
  const plan = layout(
    dagre,
    names,
    [
      ["a", "b"],
      ["a", "c"],
      ["b", "d"],
      ["c", "d"],
      ["a", "d"],
      ["d", "e"],
    ],
    box,
  );
  assert.equal(plan.cards.get("b").x, plan.cards.get("c").x);
  assert.equal(plan.edges.length, 6);
  apart(plan);
});

test("residual networks fold into rows, whatever the room", () => {
  const [names, edges] = chain(50);
  for (let i = 0; i + 3 < 50; i += 3) edges.push([names[i], names[i + 3]]);
  for (const room of [240, 700, 2500]) {
    const plan = layout(dagre, names, edges, { ...box, room });
    apart(plan);
    for (const { d } of plan.edges) assert.ok(!d.includes("NaN"), d);
  }
});

test("a dense network is laid out in good time", () => {
  const names = Array.from({ length: 120 }, (_, i) => `l${i}`);
  const edges = names.flatMap((a, i) => names.slice(i + 1).map((b) => [a, b]));
  const start = performance.now();
  apart(layout(dagre, names, edges, box));
  assert.ok(performance.now() - start < 1500);
});

test("odd graphs: no layers, no edges, edges to strangers", () => {
  assert.doesNotThrow(() => layout(dagre, ["a"], [], box));
  assert.doesNotThrow(() => layout(dagre, [], [], box));
  const plan = layout(
    dagre,
    ["a", "b"],
    [
      ["x", "a"],
      ["a", "a"],
      ["b", "y"],
    ],
    box,
  );
  assert.equal(plan.cards.size, 2);
  apart(plan);
});

test("ranks, chains, paths", () => {
  assert.deepEqual(
    [
      ...ranks(
        ["a", "b", "c"],
        [
          ["a", "b"],
          ["b", "c"],
          ["a", "c"],
        ],
      ),
    ].map(([, r]) => r),
    [0, 1, 2],
  );
  assert.ok(isChain(...chain(3)));
  assert.ok(!isChain(["a", "b"], []));
  const { edges } = layout(dagre, ["a", "b"], [["a", "b"]], box);
  assert.deepEqual([edges.length, edges[0].d], [1, "M200,50C220,50,220,50,240,50"], "leaves and enters horizontally");
  assert.match(
    roundedPath(
      [
        [0, 0],
        [10, 0],
        [10, 10],
      ],
      4,
    ),
    /^M0,0L6,0Q10,0,10,4L10,10$/,
  );
});

test("a map of a residual network fills its window, shortcuts over the rows", () => {
  const [names, edges] = chain(60);
  for (let i = 0; i + 3 < 60; i += 3) edges.push([names[i], names[i + 3]]);
  const plan = foldToFit(planColumnsTight(dagre, names, edges, box), box, { width: 1200, height: 700 });
  apart(plan);
  assert.equal(plan.edges.length, edges.length);
  assert.equal(plan.edges.filter(({ over }) => over).length, 19);
  for (const { d } of plan.edges) assert.ok(!d.includes("NaN"), d);
  const across = 1200 / plan.width;
  const down = 700 / plan.height;
  assert.ok(Math.max(across, down) / Math.min(across, down) < 1.5, `${across} ${down}`);
});

/** Blocks of four branches, of one, two, two and one layers, that are joined before the next. */
function inception(blocks) {
  const [names, edges] = [["stem"], []];
  let stream = ["stem"];
  for (let block = 0; block < blocks; block++) {
    const of = (branch, n) => Array.from({ length: n }, (_, i) => `mix${block}.${branch}.${i}`);
    const branches = [of("a", 1), of("b", 2), of("c", 2), of("d", 1)];
    for (const branch of branches) {
      names.push(...branch);
      edges.push(...stream.map((from) => [from, branch[0]]), ...branch.slice(1).map((name, i) => [branch[i], name]));
    }
    stream = branches.map((branch) => branch.at(-1));
  }
  return [names, edges];
}

test("branches that meet again and again are not pulled apart", () => {
  const view = { width: 1200, height: 700 };
  const [names, edges] = inception(9);
  const tall = { width: 212, height: 310, gapX: 44, gapY: 60 };
  const plan = foldToFit(planColumnsTight(dagre, names, edges, tall), tall, view);
  apart(plan, tall);
  assert.equal(plan.edges.length, edges.length);
  for (const { d } of plan.edges) assert.ok(!d.includes("NaN"), d);
  // Each of the 55 cards is to be seen at no less than a quarter of its size.
  assert.ok(Math.min(view.width / plan.width, view.height / plan.height) > 0.25, `${plan.width} ${plan.height}`);
});

test("stacked columns keep their order, and lines pass beside the cards", () => {
  const names = ["a", "b", "c", "d"];
  const plan = planColumns(
    dagre,
    names,
    [
      ["a", "b"],
      ["b", "c"],
      ["c", "d"],
      ["a", "d"],
    ],
    box,
  );
  const { nodes, paths } = stackColumns(plan, box);
  for (const name of names) assert.equal(nodes.get(name).y, -50, "alone in its column, in the middle");
  const { points } = paths.find(({ from, to }) => from === "a" && to === "d");
  assert.deepEqual(
    points.map(({ column }) => column),
    [1, 1 + 200 / 240, 2, 2 + 200 / 240],
  );
  for (const { y } of points) assert.ok(Math.abs(y) >= 50 + 10, `${y}`);
});

test("a dense network of 120 layers becomes a map in good time", () => {
  const names = Array.from({ length: 120 }, (_, i) => `l${i}`);
  const edges = names.flatMap((a, i) => names.slice(i + 1).map((b) => [a, b]));
  const start = performance.now();
  apart(foldToFit(planColumnsTight(dagre, names, edges, box), box, { width: 1200, height: 700 }));
  assert.ok(performance.now() - start < 2500);
});
