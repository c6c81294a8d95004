import assert from "node:assert/strict";
import test from "node:test";
import { formatRoute, parentRoute, parseRoute, samePage } from "../../../site/js/data/route.js";

test("the new choices are kept in the address", () => {
  const hash = formatRoute({ network: "n", layer: "l", sort: "dead", tile: "image" });
  assert.equal(hash, "#/n/l?sort=dead&tile=image");
  assert.equal(parseRoute(hash).tile, "image");
});

const comparisonRoutes = [
  { comparison: "a-to-b" },
  { comparison: "a/b: c", layer: "x/y", by: "top_max", pair: "0-2", order: "place" },
  { comparison: "a-to-b", layer: "conv", channel: 7, tile: "crop", show: "overlay", by: "weights" },
  { network: "compare:a", layer: "conv" },
];

for (const route of comparisonRoutes) {
  test(`there and back: ${formatRoute(route)}`, () => {
    const read = parseRoute(formatRoute(route));
    for (const [key, value] of Object.entries(route)) assert.equal(read[key], value);
    assert.equal(formatRoute(read), formatRoute(route));
    assert.equal(read.network === null, route.network === undefined);
  });
}

test("no name of a network is taken for a comparison", () => {
  assert.equal(formatRoute({ network: "compare:a" }), "#/compare%3Aa");
  assert.equal(formatRoute({ comparison: "a-to-b", layer: "l" }), "#/compare:a-to-b/l");
  assert.equal(parseRoute("#/compare:").network, "compare:");
});

test("nonsense in the address of a comparison becomes the usual", () => {
  const route = parseRoute("#/compare:a?pair=x-1&order=up&by=");
  assert.deepEqual([route.pair, route.order, route.by], [null, "change", null]);
});

test("up leads from a compared filter to the comparison, and no further", () => {
  const filter = parseRoute("#/compare:a/l/3?by=weights&pair=0-1");
  assert.equal(formatRoute(parentRoute(filter)), "#/compare:a/l?by=weights&pair=0-1");
  assert.equal(formatRoute(parentRoute(parentRoute(filter))), "#/compare:a?by=weights&pair=0-1");
  assert.equal(parentRoute(parentRoute(parentRoute(filter))), null);
});

test("another measure is the same page, another pair is not", () => {
  assert.ok(samePage(parseRoute("#/compare:a/l?by=weights"), parseRoute("#/compare:a/l")));
  assert.ok(!samePage(parseRoute("#/compare:a/l?pair=0-1"), parseRoute("#/compare:a/l")));
  assert.ok(!samePage(parseRoute("#/compare:a"), parseRoute("#/a")));
});

const routes = [
  {},
  { network: "vgg16" },
  { network: "vgg16", class: 0 },
  { network: "vgg16", layer: "features.28", sort: "score", tile: "ascent", class: 0 },
  { network: "vgg16", layer: "features.28", channel: 0, show: "overlay" },
  { network: "a/b?c#d", layer: "<script>&%2F", channel: 511, class: 3 },
  { network: "n", layer: "circuit", channel: 3 },
  { network: "n", layer: "circuit", channel: 0, circuit: true, depth: 4, width: 6, direction: "down" },
  { network: "n", layer: "a/b", channel: 3, circuit: true, opened: "0.2_1", folded: "3", removed: "0_10.11.1" },
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

test("a circuit is a page of its own, above which is its filter", () => {
  const circuit = parseRoute("#/n/circuit/l/3?depth=3&removed=0.1&sort=score");
  assert.equal(formatRoute(parentRoute(circuit)), "#/n/l/3?sort=score");
  assert.ok(!samePage(circuit, parseRoute("#/n/l/3")));
  assert.ok(samePage(circuit, parseRoute("#/n/circuit/l/3?depth=2")));
  const odd = parseRoute("#/n/circuit/l/3?depth=7&width=1&direction=left&opened=a&folded=0..1&removed=_");
  assert.equal(formatRoute(odd), "#/n/circuit/l/3");
  for (const hash of ["#/n/circuit/l/x", "#/n/circuit//3", "#/compare:n/circuit/l/3", "#/n/circuit"]) {
    assert.equal(parseRoute(hash).circuit, false);
  }
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
