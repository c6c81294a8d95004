import assert from "node:assert/strict";
import test from "node:test";
import { formatRoute, parseRoute, samePage, parentRoute } from "../../../site/js/data/route.js";

const routes = [
  {},
  { network: "vgg16" },
  { network: "vgg16", class: 0 },
  { network: "vgg16", layer: "features.28", sort: "score", tile: "ascent", class: 0 },
  { network: "vgg16", layer: "features.28", channel: 0, show: "overlay" },
  { network: "a/b?c#d", layer: "<script>&%2F", channel: 511, class: 3 },
];

for (const route of routes) {
  test(`there and back: ${formatRoute(route)}`, () => {
    const read = parseRoute(formatRoute(route));
    for (const [key, value] of Object.entries(route)) assert.equal(read[key], value);
    assert.equal(formatRoute(read), formatRoute(route));
  });
}

test("what is usual is left out", () => {
  assert.equal(formatRoute({ network: "n", layer: "l", sort: "channel", tile: null }), "#/n/l");
});

test("nonsense becomes the usual", () => {
  const route = parseRoute("#/n/l/-3?sort=up&tile=x&class=one&show=");
  assert.deepEqual(
    [route.channel, route.sort, route.tile, route.class, route.show],
    [null, "channel", null, null, "image"],
  );
  assert.equal(parseRoute("").network, null);
  assert.equal(parseRoute("#/%E0%A4%A").network, "%E0%A4%A");
});

test("up leads from filter to layer to network, and no further", () => {
  const filter = parseRoute("#/n/l/3?sort=score&class=2");
  const layer = parentRoute(filter);
  assert.equal(formatRoute(layer), "#/n/l?sort=score&class=2");
  assert.equal(parentRoute(layer).layer, null);
  assert.equal(parentRoute(parentRoute(layer)), null);
});

test("switches do not make another page", () => {
  assert.ok(samePage(parseRoute("#/n/l?sort=score"), parseRoute("#/n/l")));
  assert.ok(!samePage(parseRoute("#/n/l/1"), parseRoute("#/n/l")));
  assert.ok(!samePage(null, parseRoute("#/n")));
});

test("a class without a layer is a page of its own, below the network", () => {
  assert.ok(!samePage(parseRoute("#/n?class=1"), parseRoute("#/n")));
  assert.ok(!samePage(parseRoute("#/n?class=1"), parseRoute("#/n?class=2")));
  assert.ok(samePage(parseRoute("#/n?class=1&tile=crop"), parseRoute("#/n?class=1")));
  assert.equal(formatRoute(parentRoute(parseRoute("#/n?class=1"))), "#/n");
});
