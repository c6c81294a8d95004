import assert from "node:assert/strict";
import test from "node:test";
import { isPadded, cropSquare } from "../../../site/js/dom/crop-square.js";

const layer = { name: "a", receptive_field: { size: [10, 10], stride: [2, 2], offset: [-4, -4] } };
const wide = { name: "b", receptive_field: { size: [10, 20], stride: [2, 2], offset: [-4, -4] } };
const manifest = { tiles: { cropped: { a: [48, 48], b: [24, 48] }, max_grads: { a: [64, 64], b: [80, 40] } } };

/** A part, rounded, as numbers. */
function numbers(part) {
  return part && [part.width, part.height, part.left, part.top].map((value) => Math.round(value * 1e6) / 1e6);
}

test("a square crop within the image is shown as it is", () => {
  const inside = { position: [5, 5], box: [6, 6, 16, 16] };
  assert.equal(cropSquare(manifest, layer, "cropped", inside), null);
  assert.ok(!isPadded(layer, inside));
});

test("a crop at the border is enlarged to the part that lies in the image", () => {
  // Rows -4..6, of which 0..6 are in the image: the lower six tenths; columns likewise.
  const corner = { position: [0, 0], box: [0, 0, 6, 6] };
  assert.deepEqual(numbers(cropSquare(manifest, layer, "cropped", corner)), [1.666667, 1.666667, -0.666667, -0.666667]);
  assert.ok(isPadded(layer, corner));
  // Only rows are cut: the square is taken from the middle of the columns.
  const top = { position: [0, 5], box: [6, 0, 16, 6] };
  assert.deepEqual(
    numbers(cropSquare(manifest, layer, "cropped_grad", top)),
    [1.666667, 1.666667, -0.333333, -0.666667],
  );
});

test("of a tile that is no square the middle is shown", () => {
  const inside = { position: [5, 5], box: [6, 6, 26, 16] };
  assert.deepEqual(numbers(cropSquare(manifest, wide, "cropped", inside)), [2, 1, -0.5, 0]);
  assert.deepEqual(numbers(cropSquare(manifest, wide, "cropped")), [2, 1, -0.5, 0], "where it is from is not known");
  assert.deepEqual(numbers(cropSquare(manifest, wide, "max_grads")), [1, 2, 0, -0.5]);
  // Columns -4..16, of which 0..16 are in the image.
  const border = { position: [5, 0], box: [0, 6, 16, 16] };
  assert.deepEqual(numbers(cropSquare(manifest, wide, "cropped", border)), [2, 1, -0.7, 0]);
});

test("what is not known is shown as it is", () => {
  assert.equal(cropSquare({}, layer, "cropped"), null);
  assert.equal(
    cropSquare(manifest, { name: "a", receptive_field: null }, "cropped", { position: [0, 0], box: [0, 0, 8, 8] }),
    null,
  );
  assert.equal(cropSquare({}, layer, "cropped", { position: null, box: null }), null);
});
