/** One piece of work for all who wait for it; given up when nobody waits any more. No DOM. */

/**
 * @returns {(key: string, signal: AbortSignal|undefined, work: (signal: AbortSignal) => Promise<any>) => Promise<any>}
 */
export function dedupe() {
  const running = new Map();

  function begin(key, work) {
    const control = new AbortController();
    const job = { control, waiting: 0 };
    job.result = work(control.signal).finally(() => {
      if (running.get(key) === job) running.delete(key);
    });
    job.result.catch(() => {}); // whoever still waits hears of it
    running.set(key, job);
    return job;
  }

  function leave(key, job) {
    job.waiting -= 1;
    // A moment's grace: the view that comes may want what the view that goes has asked for.
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
