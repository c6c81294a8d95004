import assert from "node:assert/strict";
import test from "node:test";
import { prefetch } from "../../../site/js/data/prefetch.js";

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test("only what the pointer stays on is prefetched, and aborted on leaving", async () => {
  const asked = [];
  const view = new AbortController();
  const next = prefetch({
    signal: view.signal,
    wait: 10,
    idle: (work) => work(),
    fetch: async (data, signal) => asked.push({ data, signal }) && Promise.reject(new Error("no")),
  });
  next.request("a");
  next.request("b");
  next.request("b");
  await pause(30);
  assert.deepEqual(
    asked.map(({ data }) => data),
    ["b"],
  );
  next.cancel();
  assert.ok(asked[0].signal.aborted);
  next.request("c");
  view.abort();
  await pause(30);
  next.request("d");
  await pause(30);
  assert.equal(asked.length, 1);
});
