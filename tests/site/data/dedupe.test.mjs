import assert from "node:assert/strict";
import test from "node:test";
import { dedupe } from "../../../site/js/data/dedupe.js";

const tick = () => new Promise((resolve) => setTimeout(resolve, 5));

function slow() {
  const made = { calls: 0, aborted: 0 };
  made.work = (signal) => {
    made.calls += 1;
    return new Promise((resolve, reject) => {
      made.finish = resolve;
      signal.addEventListener("abort", () => {
        made.aborted += 1;
        reject(signal.reason);
      });
    });
  };
  return made;
}

test("who asks for the same gets the same", async () => {
  const [share, made] = [dedupe(), slow()];
  const both = Promise.all([share("a", undefined, made.work), share("a", new AbortController().signal, made.work)]);
  await tick();
  made.finish(7);
  assert.deepEqual([await both, made.calls], [[7, 7], 1]);
});

test("work goes on while one still waits, and stops after the last", async () => {
  const [share, made, one, two] = [dedupe(), slow(), new AbortController(), new AbortController()];
  const first = share("a", one.signal, made.work);
  const second = share("a", two.signal, made.work);
  one.abort();
  await assert.rejects(first, { name: "AbortError" });
  await tick();
  assert.equal(made.aborted, 0);
  two.abort();
  await assert.rejects(second, { name: "AbortError" });
  await tick();
  assert.equal(made.aborted, 1);
});

test("the next view takes over what the last one asked for", async () => {
  const [share, made, hover] = [dedupe(), slow(), new AbortController()];
  const first = share("a", hover.signal, made.work);
  hover.abort();
  const second = share("a", new AbortController().signal, made.work);
  await assert.rejects(first, { name: "AbortError" });
  await tick();
  made.finish("data");
  assert.deepEqual([await second, made.calls, made.aborted], ["data", 1, 0]);
});

test("a failure reaches all who wait, and is tried anew", async () => {
  const share = dedupe();
  const fail = async () => {
    throw new Error("no");
  };
  await assert.rejects(share("a", undefined, fail), /no/);
  assert.equal(await share("a", undefined, async () => 1), 1);
});

test("a signal that is aborted already asks for nothing", async () => {
  const [share, made] = [dedupe(), slow()];
  await assert.rejects(share("a", AbortSignal.abort(), made.work), { name: "AbortError" });
  assert.equal(made.calls, 0);
});
