import assert from "node:assert/strict";
import test from "node:test";
import {
  ascentCount,
  defaultTile,
  hasAscent,
  hasMap,
  layerFolder,
  networkLabels,
  pictureUrl,
  previews,
} from "../../../site/js/data/manifest.js";

const layer = { name: "a b", data: "layers/a%20b.json", channels: 20, kind: "Conv2d", shape: [20, 8, 8] };

const manifest = (ascent) => ({
  layers: [layer, { ...layer, name: "head.3", channels: 4 }],
  dataset: { classes: ["Tabby cat", "tench"] },
  stages: { scan: { complete: true }, ascent },
});

test("pictures have deterministic places", () => {
  assert.equal(layerFolder(layer), "a%20b");
  assert.equal(pictureUrl("s/", layer, "cropped", 7), "s/cropped/a%2520b/7.jpg");
});

test("how many filter images there are", () => {
  const made = (config, complete = true) => ascentCount(manifest({ complete, config }), layer);
  assert.equal(made({ filters: "all" }), 20);
  assert.equal(made({ filters: 8 }), 8);
  assert.equal(made({ filters: 800 }), 20);
  assert.equal(made({ filters: 8 }, false), 0);
  assert.equal(made(null, false), 0);
});

test("which filter images there are is a matter of runs", () => {
  const told = manifest({
    complete: false,
    config: {},
    made: {
      [layer.name]: [
        [2, 6],
        [19, 20],
      ],
    },
  });
  assert.equal(ascentCount(told, layer), 5);
  assert.deepEqual(
    [0, 2, 5, 6, 19].map((c) => hasAscent(told, layer, c)),
    [false, true, true, false, true],
  );
  assert.deepEqual(
    previews(told, layer, 5).map((p) => p.channel),
    [2, 3, 4, 5, 19],
  );
  const sizes = { tiles: { cropped: { [layer.name]: [48, 48] } } };
  assert.equal(defaultTile({ ...told, ...sizes }, layer), "crop");
  assert.equal(defaultTile(told, layer), "image", "no size of a crop, no crop");
  assert.equal(ascentCount(told, { ...layer, name: "another" }), 0);
});

test("cards show filter images only where there are enough", () => {
  const sizes = { tiles: { cropped: { [layer.name]: [48, 48] } } };
  const kinds = (filters) => previews({ ...manifest({ complete: true, config: { filters } }), ...sizes }, layer, 4);
  assert.deepEqual(
    kinds("all").map((p) => p.channel),
    [0, 5, 10, 15],
  );
  assert.equal(kinds(4)[3].channel, 3);
  assert.equal(kinds(2)[0].kind, "cropped");
  const none = { ...manifest({ complete: false }), stages: { scan: { complete: false }, ascent: { complete: false } } };
  assert.deepEqual(previews(none, layer, 4), []);
  assert.equal(defaultTile({ ...manifest({ complete: true, config: { filters: 8 } }), ...sizes }, layer), "crop");
});

test("cards show the best images where a unit sees all, and crops without their padding", () => {
  const scanned = manifest({ complete: false, config: null });
  const best = [0, 5, 10, 15].map((channel) => ({
    channel,
    image: channel + 100,
    position: [0, 0],
    box: [0, 0, 6, 6],
  }));
  assert.deepEqual(previews(scanned, layer, 2, { best }), [
    { kind: "image", channel: 0, image: 100 },
    { kind: "image", channel: 10, image: 110 },
  ]);
  assert.deepEqual(previews(scanned, layer, 4), [], "nothing is known");
  const seen = { ...layer, receptive_field: { size: [10, 10], stride: [2, 2], offset: [-4, -4] } };
  const crops = { ...scanned, tiles: { cropped: { [layer.name]: [48, 48] } } };
  const from = (known) => previews(crops, seen, 4, known).map(({ kind, entry }) => [kind, entry]);
  assert.deepEqual(from({ best: best.slice(0, 1) }), [
    ["cropped", best[0]],
    ["cropped", null],
    ["cropped", null],
    ["cropped", null],
  ]);
  const drawn = { ...scanned, stages: { ...scanned.stages, ascent: { made: { [layer.name]: [[0, 3]] } } } };
  assert.deepEqual(
    previews(drawn, layer, 3, { best }).map(({ kind }) => kind),
    ["max_activ", "max_activ", "max_activ"],
  );
  assert.deepEqual(previews(drawn, layer, 4, { best })[0].kind, "image", "a filter image short");
});

test("previews of packed stores are the small pictures that are there", () => {
  const eight = { name: "a", channels: 8, shape: [8, 4, 4] };
  const preview = (channel, kind) => ({
    channel,
    image: 1,
    position: [0, 0],
    box: [0, 0, 1, 1],
    thumb: kind && { kind },
  });
  const best = [preview(0, "max_activ"), preview(3, null), preview(5, "max_activ"), preview(7, "cropped")];
  const found = previews({ format: 2, stages: {} }, eight, 8, { best });
  assert.deepEqual(
    found.map(({ kind, channel }) => [kind, channel]),
    [
      ["max_activ", 0],
      ["max_activ", 5],
      ["cropped", 7],
    ],
  );
});

test("networks that share a title are told apart by name", () => {
  const list = [
    { name: "a", title: "VGG16" },
    { name: "b", title: "VGG16" },
    { name: "c", title: "AlexNet" },
  ];
  assert.deepEqual(networkLabels(list), ["VGG16 (a)", "VGG16 (b)", "AlexNet"]);
});

test("a layer without a map shows whole images", () => {
  const flat = { name: "fc", shape: [10, 1, 1], channels: 10, receptive_field: null };
  assert.ok(!hasMap(flat));
  assert.ok(!hasMap({ shape: [10] }));
  assert.ok(hasMap({ shape: [10, 1, 2] }));
  assert.equal(defaultTile({ stages: {} }, flat), "image");
});

test("cards of a layer that is being written show the pictures there are", () => {
  const one = { name: "a", channels: 16, shape: [16, 8, 8] };
  const waiting = { layers: [one], stages: { scan: { complete: false } } };
  assert.deepEqual(previews(waiting, one, 4, { made: {} }), []);
  assert.deepEqual(
    previews(waiting, one, 2, { made: { cropped: [[0, 16]] } }).map(({ kind, channel }) => [kind, channel]),
    [
      ["cropped", 0],
      ["cropped", 8],
    ],
  );
  const some = previews(waiting, one, 3, {
    made: {
      cropped: [[0, 16]],
      max_activ: [
        [2, 4],
        [9, 10],
      ],
    },
  });
  assert.deepEqual(
    some.map(({ kind, channel }) => [kind, channel]),
    [
      ["max_activ", 2],
      ["max_activ", 3],
      ["max_activ", 9],
    ],
  );
});
