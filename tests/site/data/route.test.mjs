import assert from "node:assert/strict";
import test from "node:test";
import { format, parse, samePage, up } from "../../../site/js/data/route.js";

const routes = [
  {},
  { network: "vgg16" },
  { network: "vgg16", class: 0 },
  { network: "vgg16", layer: "features.28", sort: "score", tile: "ascent", class: 0 },
  { network: "vgg16", layer: "features.28", channel: 0, show: "overlay" },
  { network: "a/b?c#d", layer: "<script>&%2F", channel: 511, class: 3 },
];

for (const route of routes) {
  test(`there and back: ${format(route)}`, () => {
    const read = parse(format(route));
    for (const [key, value] of Object.entries(route)) assert.equal(read[key], value);
    assert.equal(format(read), format(route));
  });
}

test("what is usual is left out", () => {
  assert.equal(format({ network: "n", layer: "l", sort: "channel", tile: null }), "#/n/l");
});

test("nonsense becomes the usual", () => {
  const route = parse("#/n/l/-3?sort=up&tile=x&class=one&show=");
  assert.deepEqual(
    [route.channel, route.sort, route.tile, route.class, route.show],
    [null, "channel", null, null, "image"],
  );
  assert.equal(parse("").network, null);
  assert.equal(parse("#/%E0%A4%A").network, "%E0%A4%A");
});

test("up leads from filter to layer to network, and no further", () => {
  const filter = parse("#/n/l/3?sort=score&class=2");
  const layer = up(filter);
  assert.equal(format(layer), "#/n/l?sort=score&class=2");
  assert.equal(up(layer).layer, null);
  assert.equal(up(up(layer)), null);
});

test("switches do not make another page", () => {
  assert.ok(samePage(parse("#/n/l?sort=score"), parse("#/n/l")));
  assert.ok(!samePage(parse("#/n/l/1"), parse("#/n/l")));
  assert.ok(!samePage(null, parse("#/n")));
});

test("a class without a layer is a page of its own, below the network", () => {
  assert.ok(!samePage(parse("#/n?class=1"), parse("#/n")));
  assert.ok(!samePage(parse("#/n?class=1"), parse("#/n?class=2")));
  assert.ok(samePage(parse("#/n?class=1&tile=crop"), parse("#/n?class=1")));
  assert.equal(format(up(parse("#/n?class=1"))), "#/n");
});
