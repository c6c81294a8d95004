import assert from "node:assert/strict";
import test from "node:test";
import { packLoader } from "../../../site/js/data/pack-loader.js";

/** A file whose byte i is i modulo 251, so that a byte tells where it is from. */
const content = (size) => Uint8Array.from({ length: size }, (_, i) => i % 251);

/**
 * A host.
 * @param {Record<string, number>} files sizes by URL
 * @param {boolean} ranges whether it answers them
 */
function host(files, ranges = true) {
  const requests = [];
  const aborted = [];
  const answers = [];
  const fetch = (url, { headers, signal }) => {
    requests.push(headers.Range ? `${url} ${headers.Range.replace("bytes=", "")}` : url);
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => {
        aborted.push(url);
        reject(signal.reason);
      });
      answers.push(() => {
        if (!(url in files)) return resolve(new Response("", { status: 404 }));
        const data = content(files[url]);
        const found = /^bytes=(\d+)-(\d+)$/.exec(headers.Range ?? "");
        if (!ranges || !found) return resolve(new Response(data));
        const [start, end] = [Number(found[1]), Number(found[2]) + 1];
        return resolve(new Response(data.slice(start, end), { status: start < data.length ? 206 : 416 }));
      });
    });
  };
  return {
    fetch,
    requests,
    aborted,
    /** Answer what was asked until nothing more is asked for. */
    async answer() {
      for (let quiet = 0; quiet < 4; quiet += 1) {
        while (answers.length) {
          answers.shift()();
          quiet = 0;
        }
        await new Promise((resolve) => setTimeout(resolve));
      }
    },
  };
}

const part = (url, start, end, more = {}) => ({ url, start, end, name: `${url} ${start}`, ...more });

async function loaded(loader, hosted, parts, signal) {
  const all = Promise.allSettled(parts.map((one) => loader.load(one, signal)));
  await hosted.answer();
  return (await all).map(({ value, reason }) => (value ? Array.from(value) : reason));
}

const bytes = ({ start, end }) => Array.from({ length: end - start }, (_, i) => (start + i) % 251);

test("parts that are asked for in the same moment, and are neighbours, come in one request", async () => {
  const hosted = host({ a: 1000 });
  const loader = packLoader({ fetch: hosted.fetch, gap: 10 });
  const parts = [part("a", 500, 520), part("a", 100, 110), part("a", 120, 150), part("a", 100, 110)];
  assert.deepEqual(await loaded(loader, hosted, parts), parts.map(bytes));
  assert.deepEqual(hosted.requests.sort(), ["a 100-149", "a 500-519"]);
});

test("what has been fetched, or is under way, is not asked for again", async () => {
  const hosted = host({ a: 1000 });
  const loader = packLoader({ fetch: hosted.fetch, gap: 10 });
  const first = loader.load(part("a", 100, 200));
  await new Promise((resolve) => setTimeout(resolve, 5));
  const inside = loader.load(part("a", 120, 130));
  await hosted.answer();
  assert.deepEqual(
    [Array.from(await first), Array.from(await inside)],
    [
      [100, 200],
      [120, 130],
    ].map(([start, end]) => bytes({ start, end })),
  );
  assert.deepEqual(await loaded(loader, hosted, [part("a", 190, 200)]), [bytes({ start: 190, end: 200 })]);
  assert.equal(hosted.requests.length, 1);
});

test("a host without ranges is asked once for a file, and all parts are cut from it", async () => {
  const hosted = host({ a: 1000, b: 50 }, false);
  const loader = packLoader({ fetch: hosted.fetch, gap: 10 });
  const parts = [part("a", 500, 520), part("a", 100, 110), part("a", 900, 1000), part("b", 1, 3), part("b", 40, 50)];
  assert.deepEqual(await loaded(loader, hosted, parts), parts.map(bytes));
  const later = [part("a", 0, 5), part("b", 20, 30)];
  assert.deepEqual(await loaded(loader, hosted, later), later.map(bytes));
  assert.deepEqual(hosted.requests.map((request) => request[0]).sort(), ["a", "b"]);
});

test("the pictures of an item come together", async () => {
  const hosted = host({ a: 1000 });
  const loader = packLoader({ fetch: hosted.fetch, gap: 0 });
  const item = [100, 300];
  const [one, other] = [part("a", 290, 300, { item }), part("a", 100, 150, { item })];
  assert.deepEqual(await loaded(loader, hosted, [one]), [bytes(one)]);
  assert.deepEqual(await loaded(loader, hosted, [other]), [bytes(other)]);
  assert.deepEqual(hosted.requests, ["a 100-299"]);
});

test("all of a file is fetched where a part asks for it", async () => {
  const hosted = host({ a: 1000 });
  const loader = packLoader({ fetch: hosted.fetch });
  const parts = [part("a", 10, 20, { whole: true }), part("a", 900, 910, { whole: true })];
  assert.deepEqual(await loaded(loader, hosted, parts), parts.map(bytes));
  assert.deepEqual(await loaded(loader, hosted, [part("a", 300, 400)]), [bytes({ start: 300, end: 400 })]);
  assert.deepEqual(hosted.requests, ["a"]);
});

test("a request is aborted when the last view that waits for it goes", async () => {
  const hosted = host({ a: 1000 });
  const loader = packLoader({ fetch: hosted.fetch });
  const [one, two] = [new AbortController(), new AbortController()];
  const first = assert.rejects(loader.load(part("a", 0, 10), one.signal), { name: "AbortError" });
  const second = assert.rejects(loader.load(part("a", 5, 10), two.signal), { name: "AbortError" });
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(hosted.requests.length, 1);
  one.abort();
  await first;
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(hosted.aborted, []);
  two.abort();
  await second;
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(hosted.aborted, ["a"]);
  await assert.rejects(loader.load(part("a", 0, 10), two.signal), { name: "AbortError" });
  assert.deepEqual(await loaded(loader, hosted, [part("a", 0, 10)]), [bytes({ start: 0, end: 10 })]);
});

test("a view that goes does not take the file from another, on a host without ranges", async () => {
  const hosted = host({ a: 1000 }, false);
  const loader = packLoader({ fetch: hosted.fetch, gap: 0 });
  const one = new AbortController();
  const first = assert.rejects(loader.load(part("a", 0, 10), one.signal), { name: "AbortError" });
  const second = loader.load(part("a", 500, 510));
  await new Promise((resolve) => setTimeout(resolve, 5));
  one.abort();
  await first;
  await new Promise((resolve) => setTimeout(resolve, 5));
  await hosted.answer();
  assert.deepEqual(Array.from(await second), bytes({ start: 500, end: 510 }));
});

test("what cannot be fetched, or is too short, is reported and tried again", async () => {
  const hosted = host({ a: 100 });
  const loader = packLoader({ fetch: hosted.fetch, gap: 0 });
  const results = await loaded(loader, hosted, [
    part("b", 0, 10),
    part("a", 90, 110),
    part("a", 10, 20),
    part("a", 200, 210),
  ]);
  assert.deepEqual(
    results.map((result) => result.kind ?? "read"),
    ["missing", "broken", "read", "missing"],
  );
  await loaded(loader, hosted, [part("b", 0, 10)]);
  assert.equal(hosted.requests.filter((request) => request.startsWith("b")).length, 2);
});

test("no more is kept than allowed", async () => {
  const hosted = host({ a: 1000 });
  const loader = packLoader({ fetch: hosted.fetch, gap: 0, kept: 25 });
  for (const start of [0, 100, 200]) await loaded(loader, hosted, [part("a", start, start + 10)]);
  await loaded(loader, hosted, [part("a", 100, 110)]);
  assert.equal(hosted.requests.length, 3);
  await loaded(loader, hosted, [part("a", 0, 10)]);
  assert.equal(hosted.requests.length, 4);
});

test("a failed first answer does not block the others", async () => {
  let failures = 1;
  const hosted = host({ a: 1000 });
  const fetch = (url, options) => {
    failures -= 1;
    return failures >= 0 ? Promise.reject(new TypeError("network")) : hosted.fetch(url, options);
  };
  const loader = packLoader({ fetch, gap: 0 });
  const results = await loaded(loader, hosted, [part("a", 0, 10), part("a", 50, 60)]);
  assert.ok(results[0] instanceof Error);
  assert.deepEqual(results[1], bytes({ start: 50, end: 60 }));
});
