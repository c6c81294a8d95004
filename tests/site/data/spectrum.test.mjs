import assert from "node:assert/strict";
import test from "node:test";
import { quantileName, spectrumOf, spectrumPath } from "../../../site/js/data/spectrum.js";

const entry = [3, -1.5, [1, 2], [0, 0, 4, 5]];

test("the path uses the name of the layer's file", () => {
  assert.equal(spectrumPath({ data: "layers/features.3.json" }), "spectrum/features.3.json");
});

test("the images of a filter, by quantile", () => {
  const file = { quantiles: [0, 0.5], filters: [[[entry], []]] };
  assert.deepEqual(spectrumOf(file, 0), [
    { quantile: 0, images: [{ image: 3, score: -1.5, position: [1, 2], box: [0, 0, 4, 5] }] },
    { quantile: 0.5, images: [] },
  ]);
  assert.equal(spectrumOf(file, 1), null);
});

test("what is not as the format says is left out", () => {
  const wrong = [null, [], [1.5, 0, [0, 0], [0, 0, 1, 1]], [1, null, [0, 0], [0, 0, 1, 1]], [1, 0, [0], [0, 0, 1, 1]]];
  const file = { quantiles: [0], filters: [[[...wrong, entry]]] };
  assert.deepEqual(
    spectrumOf(file, 0)[0].images.map(({ image }) => image),
    [3],
  );
  assert.equal(spectrumOf({ quantiles: [0, 1], filters: [[[]]] }, 0), null);
  assert.equal(spectrumOf({ quantiles: null, filters: [[[]]] }, 0), null);
  assert.equal(spectrumOf({ quantiles: [0], filters: {} }, 0), null);
});

test("quantiles have names", () => {
  assert.deepEqual([0, 0.05, 0.5, 0.95].map(quantileName), ["minimum", "5\u00a0%", "median", "95\u00a0%"]);
});
