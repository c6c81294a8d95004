import assert from "node:assert/strict";
import test from "node:test";
import {
  POLL_INTERVAL,
  STALE_AFTER,
  isFinished,
  pollLive,
  progressText,
  viewDependencies,
} from "../../../site/js/data/live.js";

const DONE = { scan: true, circuits: true, gradients: true, ascent: true };

const layer = (stamp) => ({ data: "layers/a.json", stamp, made: { cropped: [[0, 8]] } });

function network(changes = {}) {
  return { name: "n", path: "n", files: { "network.json": "1" }, layers: {}, stages: DONE, progress: null, ...changes };
}

const live = (...networks) => ({ networks, waiting: [] });

const route = (changes = {}) => ({
  network: "n",
  comparison: null,
  layer: null,
  channel: null,
  class: null,
  ...changes,
});

test("nothing more is to come when all is computed and nothing runs", () => {
  assert.equal(isFinished(live(network())), true);
  assert.equal(isFinished(live(network(), network({ stages: { ...DONE, ascent: false } }))), false);
  assert.equal(isFinished(live(network({ progress: { work: "scan" } }))), false);
  assert.equal(isFinished({ networks: [], waiting: ["n"] }), false);
});

test("a view changes with what it is made of, and with nothing else", () => {
  const before = live(network({ layers: { a: layer("1"), b: layer("1") } }));
  const after = live(network({ layers: { a: layer("2"), b: layer("1") }, progress: { work: "ascent" } }));
  const changes = (where) => viewDependencies(before, where) !== viewDependencies(after, where);
  assert.equal(changes(route()), true);
  assert.equal(changes(route({ network: null })), true);
  assert.equal(changes(route({ layer: "a" })), true);
  assert.equal(changes(route({ layer: "b" })), false);
  assert.equal(changes(route({ layer: "b", channel: 3 })), false);
  assert.equal(changes(route({ class: 0 })), true);
  assert.notEqual(viewDependencies(live(), route()), viewDependencies(before, route()));
});

test("a view of a comparison changes with it and with the networks that it shows", () => {
  const compared = (stamp) => ({ name: "c", path: "c", files: { "comparison.json": stamp } });
  const state = (stamp, ...networks) => ({ ...live(...networks), comparisons: [compared(stamp)] });
  const before = state("1", network({ layers: { a: layer("1") } }));
  const where = route({ network: null, comparison: "c" });
  const changes = (after, place = where) => viewDependencies(before, place) !== viewDependencies(after, place);
  assert.equal(changes(state("2", network({ layers: { a: layer("1") } }))), true);
  const later = state("1", network({ layers: { a: layer("2") }, progress: { work: "ascent" } }));
  assert.equal(changes(later), false);
  assert.equal(changes(later, { ...where, layer: "a" }), true);
  assert.equal(changes({ ...before, comparisons: [] }, route()), true);
});

test("what a run is at, in words", () => {
  const at = (progress, quiet) => progressText(live(network({ progress })), "n", quiet);
  const progress = { work: "ascent", unit: "filter", done: 3, total: 12 };
  assert.deepEqual(at(progress), {
    text: "Making filter images",
    detail: "3 of 12 filters",
    share: 0.25,
    state: "runs",
  });
  assert.equal(at(progress, STALE_AFTER).state, "rests");
  assert.match(at(progress, STALE_AFTER).detail, /no news for 2 minutes/);
  assert.equal(at({ ...progress, work: "new", total: 0 }).share, null);
  assert.equal(at(null).text, "All is computed");
  assert.match(progressText(live(network({ stages: { ...DONE, ascent: false } })), "n").detail, /filter images/);
  assert.match(progressText({ networks: [], waiting: ["mine"] }, null).text, /mine/);
});

/** A server whose answers are given, and a clock that stands. */
function world(answers, done = true) {
  const heard = [];
  const waiting = [];
  const fetch = async (url, { cache }) => {
    assert.equal(cache, "no-cache");
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer instanceof Error) throw answer;
    return { ok: true, text: async () => (typeof answer === "string" ? answer : JSON.stringify(answer)) };
  };
  const setTimer = (work, ms) => waiting.push({ work, ms });
  const onUpdate = (state) => (heard.push(state), done);
  const clearTimer = () => waiting.pop();
  return {
    heard,
    waiting,
    follower: pollLive({ url: "live.json", fetch, onUpdate, setTimer, clearTimer, clock: () => 0 }),
  };
}

test("asks until nothing more is to come", async () => {
  const { heard, waiting, follower } = world([live(network({ progress: { work: "scan" } })), live(network())]);
  await follower.check();
  assert.equal(waiting.length, 1);
  assert.equal(waiting[0].ms, POLL_INTERVAL);
  await waiting[0].work();
  assert.equal(waiting.length, 0);
  assert.equal(heard.length, 2);
});

test("asks on while the page is not done with what it heard, and when there is no answer", async () => {
  const undone = world([live(network())], false);
  await undone.follower.check();
  assert.equal(undone.waiting.length, 1);
  for (const answer of [new TypeError("no connection"), "<html>"]) {
    const lost = world([answer]);
    await lost.follower.check();
    assert.deepEqual(lost.heard, [null]);
    assert.ok(lost.waiting[0].ms > POLL_INTERVAL);
  }
});

test("asks nothing while it is paused", async () => {
  const { waiting, follower } = world([live(network({ progress: { work: "scan" } }))]);
  await follower.check();
  follower.pause();
  assert.equal(waiting.length, 0);
  await follower.resume();
  assert.equal(waiting.length, 1);
});

test("every work that a run reports has a text", () => {
  const text = (work) =>
    progressText(live(network({ progress: { work, unit: "filter", done: 1, total: 2 } })), "n").text;
  assert.equal(text("rough"), "Scanning the images in bfloat16");
  assert.equal(text("max gradients"), "Computing gradients of the strongest units");
  assert.equal(text("avg gradients"), "Computing gradients of the mean activations");
  assert.equal(text("certificates"), "Checking the crops");
  assert.equal(text("of tomorrow"), "of tomorrow", "an unknown one is shown as it is");
});
