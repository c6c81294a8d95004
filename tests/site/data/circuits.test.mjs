import assert from "node:assert/strict";
import test from "node:test";
import {
  circuitOf,
  circuitsPath,
  coveredShare,
  hasCircuits,
  kernelLevels,
  kernelPaths,
  kernelText,
  neighboursIn,
  partsByLayer,
} from "../../../site/js/data/circuits.js";

const layers = ["a", "b", "c", "d"].map((name) => ({ name, channels: 4, data: `layers/${name}%20x.json` }));
const manifest = { layers, stages: {} };

const record = {
  score: 5,
  excitation: 9,
  inhibition: -4.5,
  rest: 0.5,
  sums: [
    [6, -4.5],
    [3, 0],
  ],
  scale: 2,
  excited_by: [
    [0, 1, 4, "qia"],
    [1, 2, 3, ""],
    [0, 3, 2, "iiq"],
  ],
  inhibited_by: [[0, 0, -3.5, "aaa"]],
  used_by: [
    [0, 2, 0.5],
    [0, 1, -0.25],
  ],
};
const file = {
  images: "top",
  upstream: [
    { layer: "a", kernel: [1, 3] },
    { layer: "b", kernel: null },
  ],
  downstream: ["d"],
  repeated: false,
  filters: [record],
};

test("a store without the stage has no circuits", () => {
  assert.equal(hasCircuits({ stages: {} }), false);
  assert.equal(hasCircuits({ stages: { circuits: { complete: false, config: null } } }), false);
  assert.equal(hasCircuits({ stages: { circuits: { complete: true } } }), true);
  assert.equal(circuitsPath(layers[0]), "circuits/a%20x.json");
});

test("a letter is an eighth of the scale: a is -1, i is 0, q is 1", () => {
  assert.deepEqual(kernelLevels("aeimq", [1, 5]), [-8, -4, 0, 4, 8]);
  for (const [letters, size] of [
    ["", [1, 1]],
    ["ii", [1, 3]],
    ["ir", [1, 2]],
    ["iA", [1, 2]],
    [3, [1, 1]],
    ["i", null],
  ]) {
    assert.equal(kernelLevels(letters, size), null);
  }
});

test("the cells of a kernel are drawn by level, zeros not at all", () => {
  const kernel = { levels: [8, 0, -4, 8], size: [2, 2] };
  assert.deepEqual(kernelPaths(kernel), [
    { level: 1, d: "M0,0h1v1h-1zM1,1h1v1h-1z" },
    { level: -0.5, d: "M0,1h1v1h-1z" },
  ]);
  const text = kernelText({ levels: [0, 0, 0, 0, 0, 0, 2, 0, -8], size: [3, 3] }, (weight) => String(weight * 2));
  assert.match(text, /3 by 3 weights, 1 positive and 1 negative; the largest is -2, at the bottom right/);
});

test("a circuit has shares of the sum of all absolute contributions", () => {
  const circuit = circuitOf(file, manifest, 0);
  assert.equal(circuit.score, circuit.excitation + circuit.inhibition + circuit.rest);
  assert.deepEqual(
    circuit.excitedBy.map(({ layer, channel, share }) => [layer.name, channel, share]),
    [
      ["a", 1, 4 / 13.5],
      ["b", 2, 3 / 13.5],
      ["a", 3, 2 / 13.5],
    ],
  );
  assert.deepEqual(circuit.excitedBy[0].kernel, { levels: [8, 0, -8], size: [1, 3] });
  assert.equal(circuit.excitedBy[1].kernel, null);
  assert.equal(circuit.inhibitedBy[0].share, -3.5 / 13.5);
  assert.deepEqual(
    neighboursIn(circuit, "up").map(({ value }) => value),
    [4, -3.5, 3, 2],
  );
  assert.deepEqual(
    neighboursIn(circuit, "down").map(({ share }) => share),
    [0.5, -0.25],
  );
});

test("the covered share is that of the listed filters in the sum", () => {
  const { excitedBy, excitation, inhibitedBy, inhibition } = circuitOf(file, manifest, 0);
  assert.equal(coveredShare(excitedBy, excitation), 1);
  assert.equal(coveredShare(excitedBy.slice(0, 1), excitation), 4 / 9);
  assert.equal(coveredShare(inhibitedBy, inhibition), 3.5 / 4.5);
  assert.equal(coveredShare([], 0), 0);
});

test("parts are grouped by layer, the largest sum first", () => {
  const { excitedBy, upstream } = circuitOf(file, manifest, 0);
  const groups = partsByLayer(excitedBy, upstream, "excitation");
  assert.deepEqual(
    groups.map(({ layer, sum, parts }) => [layer.name, sum, parts.length]),
    [
      ["a", 6, 2],
      ["b", 3, 1],
    ],
  );
  assert.deepEqual(
    partsByLayer(excitedBy.slice(0, 1), upstream, "excitation").map(({ layer }) => layer.name),
    ["a"],
  );
});

test("rows that the network does not have are left out, and what is damaged gives nothing", () => {
  const strange = [
    [0, 9, 1, ""],
    [7, 0, 1, ""],
    [0, 1.5, 1, ""],
    [0, 0, "1", ""],
    null,
    [0, 0, -1, ""],
    [0, 0, 1, "x"],
  ];
  const circuit = circuitOf({ ...file, filters: [{ ...record, excited_by: strange, used_by: 7 }] }, manifest, 0);
  assert.deepEqual(
    circuit.excitedBy.map(({ value, kernel }) => [value, kernel]),
    [[1, null]],
  );
  assert.deepEqual(circuit.usedBy, []);
  const unknown = circuitOf({ ...file, upstream: [{ layer: "z" }, null], downstream: ["z"] }, manifest, 0);
  assert.deepEqual([unknown.upstream, unknown.excitedBy, unknown.usedBy], [[], [], []]);
  assert.equal(circuitOf(file, manifest, 1), null);
  assert.equal(circuitOf({ ...file, filters: [{ ...record, score: "5" }] }, manifest, 0), null);
  assert.equal(circuitOf({ ...file, upstream: 3 }, manifest, 0), null);
  const dead = { ...record, score: 0, excitation: 0, inhibition: 0, excited_by: [[0, 0, 1, ""]] };
  assert.equal(circuitOf({ ...file, filters: [dead] }, manifest, 0).excitedBy[0].share, 0);
});
