/**
 * Fetch parts of packs. A host that answers byte ranges sends just these; one that does not sends the whole file, from
 * which the parts are cut, and which is not fetched again for the next. No DOM.
 */
import { dedupe } from "./dedupe.js";
import { Lru } from "./lru.js";
import { mergeParts } from "./packs.js";
import { StoreError } from "./store.js";

/** @import { Part } from "../types.js" */

/** How many bytes to keep in memory: a few packs of images, or the small pictures of thousands of filters. */
const KEPT = 16e6;

/** Two parts of a file are fetched in one request if at most so many bytes lie between them. */
const GAP = 32_768;

/**
 * Some consecutive bytes of a file.
 * @typedef {{url: string, start: number, bytes: Uint8Array<ArrayBuffer>}} Span
 *
 * What is fetched in one request; without `start`, the whole file.
 * @typedef {{url: string, start?: number, end?: number}} Range
 */

/** @param {Span} span */
const rangeOf = ({ url, start, bytes }) => ({ url, start, end: start + bytes.length });

/** @param {Range} range */
const keyOf = ({ url, start, end }) => (start === undefined ? url : `${url}#${start}-${end}`);

/**
 * @param {Range} range
 * @param {Part} part
 */
function covers(range, part) {
  return range.url === part.url && (range.start === undefined || (range.start <= part.start && part.end <= range.end));
}

/**
 * The bytes of a part.
 * @param {Span} span
 * @param {Part} part
 */
function cut({ start, bytes }, part) {
  if (part.start < start || part.end > start + bytes.length) {
    throw new StoreError("broken", `${part.url} is shorter than its store says.`);
  }
  return bytes.subarray(part.start - start, part.end - start);
}

/**
 * @param {object} [options]
 * @param {typeof globalThis.fetch} [options.fetch]
 * @param {number} [options.kept] how many bytes to keep in memory
 * @param {number} [options.gap]
 * @param {(work: () => void) => any} [options.soon] when to fetch what has been asked for in the same moment
 */
export function packLoader({
  fetch = globalThis.fetch.bind(globalThis),
  kept = KEPT,
  gap = GAP,
  soon = (work) => setTimeout(work),
} = {}) {
  /** @type {Lru<Span>} */
  const cache = new Lru(kept, ({ bytes }) => bytes.length);
  const share = dedupe();
  /** @type {Set<Range>} */
  const running = new Set();
  /** @type {Array<{part: Part, plan: (range: Range) => void}>} */
  let asked = [];
  /** @type {boolean|null} */
  let hasRanges = null; // whether the host answers them; null before the first answer
  /** @type {Promise<any>|null} */
  let firstAnswer = null;
  /** @type {Map<string, Promise<Span>>} */
  const arriving = new Map(); // whole files that a range was asked of

  /** Decide on the requests for all parts that have been asked for in the same moment. */
  function plan() {
    const now = asked;
    asked = [];
    const ranges = mergeParts(
      now.map(({ part }) => part),
      gap,
    );
    for (const one of now) one.plan(ranges.find((range) => covers(range, one.part)));
  }

  /** @returns {Promise<Range>} */
  function planned(part) {
    return new Promise((resolve) => {
      if (!asked.length) soon(plan);
      asked.push({ part, plan: resolve });
    });
  }

  /** @returns {Span|null} */
  function cached(part) {
    for (const span of cache.values()) {
      if (covers(rangeOf(span), part)) return cache.get(keyOf(rangeOf(span)));
    }
    return null;
  }

  /**
   * One request.
   * @param {Range} range
   * @param {AbortSignal} signal
   * @returns {Promise<Span>}
   */
  async function request({ url, start, end }, signal) {
    const ranged = start !== undefined;
    const answer = fetch(url, { signal, headers: ranged ? { Range: `bytes=${start}-${end - 1}` } : {} });
    if (ranged && hasRanges === null) firstAnswer ??= answer.catch(() => (firstAnswer = null));
    const response = await answer;
    if (!response.ok) throw new StoreError("missing", `${url} could not be fetched (status ${response.status}).`);
    const isPart = response.status === 206;
    if (ranged) hasRanges = isPart;
    const span = response.arrayBuffer().then((buffer) => ({
      url,
      start: isPart ? start : 0,
      bytes: new Uint8Array(buffer),
    }));
    if (!isPart) {
      arriving.set(url, span);
      span.catch(() => {}).finally(() => arriving.delete(url));
    }
    return span;
  }

  /**
   * @param {Range} range
   * @param {AbortSignal} signal
   * @returns {Promise<Span>}
   */
  async function read(range, signal) {
    running.add(range);
    try {
      if (range.start === undefined) return await request(range, signal);
      // A second range is not asked for before it is known whether the host sends ranges at all.
      if (hasRanges === null && firstAnswer) await firstAnswer;
      signal.throwIfAborted();
      if (hasRanges !== false) return await request(range, signal);
      // The request that the file comes with may be aborted by those who wait for it.
      const coming = await arriving.get(range.url)?.catch(() => null);
      if (coming) return coming;
      return await share(range.url, signal, (own) => read({ url: range.url }, own));
    } finally {
      running.delete(range);
    }
  }

  return {
    /**
     * The bytes of a part.
     * @param {Part} part
     * @param {AbortSignal} [signal] a request that nobody waits for is aborted
     * @returns {Promise<Uint8Array<ArrayBuffer>>} rejects with a StoreError, or with the signal's reason
     */
    async load(part, signal) {
      signal?.throwIfAborted();
      const before = cached(part);
      if (before) return cut(before, part);
      const range = [...running].find((one) => covers(one, part)) ?? (await planned(part));
      signal?.throwIfAborted();
      const span = await share(keyOf(range), signal, async (own) => {
        const found = await read(range, own);
        return cache.set(keyOf(rangeOf(found)), found);
      });
      return cut(span, part);
    },
  };
}

/** @typedef {ReturnType<typeof packLoader>} PackLoader */
