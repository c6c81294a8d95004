import assert from "node:assert/strict";
import test from "node:test";
import { indexParts, mergeParts, pictureSources, previewSource } from "../../../site/js/data/packs.js";

const ROOT = "saved_model/net/";
const layer = { name: "a/b", data: "layers/a%2Fb.json", channels: 3 };
const manifest = (format) => ({ format, name: "net" });

/** Packs as the format describes them, and the bytes of each picture. */
const file = {
  packs: {
    pictures: [
      {
        path: "pictures/a%2Fb/0.0123456789ab.bin",
        items: [0, 2],
        kinds: ["cropped", "max_activ"],
        lengths: [
          [10, 0],
          [7, 5],
        ],
      },
      { path: "pictures/a%2Fb/16.ab.bin", items: [16], kinds: ["cropped", "max_activ"], lengths: [[3, 4]] },
    ],
    thumbs: [{ path: "thumbs/a%2Fb/gradient-0.cd.bin", items: [0, 2], kinds: ["gradient"], lengths: [[6], [8]] }],
  },
};
const images = {
  images: { 4: {}, 9: {} },
  packs: [{ path: "images/4.ef.bin", items: [4, 9], kinds: ["image"], lengths: [[100], [50]] }],
};

test("the bytes of a pack are item by item, and within an item kind by kind", () => {
  const url = `${ROOT}pictures/a%252Fb/0.0123456789ab.bin`;
  assert.deepEqual(Object.fromEntries(indexParts(ROOT, file.packs.pictures)), {
    "cropped 0": { url, start: 0, end: 10, item: [0, 10] },
    "cropped 2": { url, start: 10, end: 17, item: [10, 22] },
    "max_activ 2": { url, start: 17, end: 22, item: [10, 22] },
    "cropped 16": { url: `${ROOT}pictures/a%252Fb/16.ab.bin`, start: 0, end: 3, item: [0, 7] },
    "max_activ 16": { url: `${ROOT}pictures/a%252Fb/16.ab.bin`, start: 3, end: 7, item: [0, 7] },
  });
});

test("every byte of a pack belongs to one picture", () => {
  const lengths = Array.from({ length: 16 }, (_, i) => [i % 3 ? 10 + i : 0, 4, i % 2, 0, 100]);
  const pack = { path: "p.bin", items: lengths.map((_, i) => i * 2), kinds: ["a", "b", "c", "d", "e"], lengths };
  const parts = [...indexParts("", [pack]).values()];
  const sum = lengths.flat().reduce((a, b) => a + b, 0);
  assert.equal(parts.length, lengths.flat().filter((length) => length > 0).length);
  let at = 0;
  for (const { start, end } of parts) {
    assert.equal(start, at);
    at = end;
  }
  assert.equal(at, sum);
});

test("where pictures are files of their own", () => {
  const sources = pictureSources({ manifest: manifest(1), root: ROOT, layer, file: { format: 1 } });
  const url = `${ROOT}cropped/a%252Fb/7.jpg`;
  assert.equal(sources.isPacked, false);
  assert.deepEqual(sources.strip("cropped", 7), { url, name: url });
  assert.equal(sources.thumb("cropped", 7), null);
  assert.deepEqual(sources.image(3), { url: `${ROOT}images/3.jpg`, name: `${ROOT}images/3.jpg` });
});

test("where pictures are parts of files", () => {
  const sources = pictureSources({ manifest: manifest(2), root: ROOT, layer, file, images, wholeThumbs: true });
  assert.equal(sources.isPacked, true);
  const { url, start, end } = sources.strip("max_activ", 2);
  assert.deepEqual([url, start, end], [`${ROOT}pictures/a%252Fb/0.0123456789ab.bin`, 17, 22]);
  assert.equal(sources.strip("max_activ", 0), null);
  assert.equal(sources.strip("cropped", 1), null);
  const thumb = sources.thumb("cropped_grad", 2);
  assert.deepEqual([thumb.start, thumb.end, thumb.whole], [6, 14, true]);
  // Where a layer has no crops, the small gradient is that of the whole image.
  assert.deepEqual(sources.thumb("max_grads", 2), thumb);
  assert.equal(sources.thumb("cropped", 2), null);
  assert.deepEqual([sources.image(9).start, sources.image(9).end, sources.image(5)], [100, 150, null]);
});

test("a picture has the same name in both formats, and no two have the same", () => {
  const old = pictureSources({ manifest: manifest(1), root: ROOT, layer });
  const packed = pictureSources({ manifest: manifest(2), root: ROOT, layer, file, images });
  const names = [old, packed].map(({ strip, image }) => [strip("cropped", 2).name, image(9).name]);
  assert.deepEqual(names[0], names[1]);
  const all = [...names[0], packed.thumb("cropped_grad", 2).name, packed.strip("cropped", 0).name];
  assert.equal(new Set(all).size, all.length);
});

test("without the layer's file it is read once, when a picture is needed", async () => {
  let reads = 0;
  const read = async () => {
    reads += 1;
    if (reads === 1) throw new Error("offline");
    return file;
  };
  const sources = pictureSources({ manifest: manifest(2), root: ROOT, layer, read });
  const thumb = sources.thumb("cropped_grad", 2);
  assert.equal(reads, 0);
  await assert.rejects(thumb.find(), /offline/);
  const [found, strip, none] = await Promise.all([
    thumb.find(),
    sources.strip("cropped", 2).find(),
    sources.thumb("cropped", 0).find(),
  ]);
  assert.equal(reads, 2);
  assert.deepEqual([found.start, found.name, strip.end, none], [6, thumb.name, 17, null]);
});

test("without images.json, the images of a packed store are not known", () => {
  assert.equal(pictureSources({ manifest: manifest(2), root: ROOT, layer, file, images: null }).image(4), null);
});

test("a preview says where its small picture is", () => {
  const thumb = { path: "previews.bin", offset: 30, length: 12 };
  const { url, start, end, name } = previewSource(ROOT, layer, "cropped", { channel: 2, thumb });
  assert.deepEqual([url, start, end], [`${ROOT}previews.bin`, 30, 42]);
  const sources = pictureSources({ manifest: manifest(2), root: ROOT, layer, read: async () => file });
  assert.equal(name, sources.thumb("cropped", 2).name);
  assert.equal(previewSource(ROOT, layer, "image", { channel: 2, thumb: null }), null);
  assert.equal(previewSource(ROOT, layer, "image", { channel: 2 }), null);
  assert.equal(previewSource(ROOT, layer, "image", null), null);
});

test("parts of one file become one range where little lies between them", () => {
  const part = (url, start, end, whole = false) => ({ url, start, end, whole, name: "" });
  const parts = [part("a", 50, 60), part("b", 0, 5), part("a", 0, 10), part("a", 10, 20), part("a", 30, 40)];
  assert.deepEqual(mergeParts(parts, 10), [
    { url: "b", start: 0, end: 5 },
    { url: "a", start: 0, end: 60 },
  ]);
  assert.deepEqual(mergeParts(parts, 9), [
    { url: "b", start: 0, end: 5 },
    { url: "a", start: 0, end: 20 },
    { url: "a", start: 30, end: 40 },
    { url: "a", start: 50, end: 60 },
  ]);
  assert.deepEqual(mergeParts([...parts, part("a", 1, 2, true)], 0), [{ url: "a" }, { url: "b", start: 0, end: 5 }]);
  assert.deepEqual(mergeParts([part("a", 0, 9), part("a", 0, 9), part("a", 2, 3)], 0), [
    { url: "a", start: 0, end: 9 },
  ]);
  const ofItem = { ...part("a", 25, 30), item: [20, 40] };
  assert.deepEqual(mergeParts([ofItem, part("a", 41, 42), part("a", 44, 45)], 1), [
    { url: "a", start: 20, end: 42 },
    { url: "a", start: 44, end: 45 },
  ]);
});
