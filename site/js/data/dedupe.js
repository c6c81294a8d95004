/** Concurrent requests for the same key share one piece of work, which is aborted when nobody waits for it. No DOM. */

/**
 * @returns {<T>(key: string, signal: AbortSignal|undefined, work: (signal: AbortSignal) => Promise<T>) => Promise<T>}
 */
export function dedupe() {
  /** @type {Map<string, {control: AbortController, waiting: number, result: Promise<any>}>} */
  const running = new Map();

  function begin(key, work) {
    const control = new AbortController();
    const result = work(control.signal).finally(() => {
      if (running.get(key) === job) running.delete(key);
    });
    const job = { control, waiting: 0, result };
    result.catch(() => {}); // the callers that still wait get the rejection
    running.set(key, job);
    return job;
  }

  function leave(key, job) {
    job.waiting -= 1;
    // Deferred: the next view may want what the previous one has requested.
    setTimeout(() => {
      if (job.waiting > 0 || running.get(key) !== job) return;
      running.delete(key);
      job.control.abort();
    });
  }

  return async (key, signal, work) => {
    signal?.throwIfAborted();
    const job = running.get(key) ?? begin(key, work);
    job.waiting += 1;
    if (!signal) return job.result;
    let stop;
    const aborted = new Promise((_, reject) => {
      stop = () => reject(signal.reason);
      signal.addEventListener("abort", stop, { once: true });
    });
    try {
      return await Promise.race([job.result, aborted]);
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      signal.removeEventListener("abort", stop);
      leave(key, job);
    }
  };
}
