/** Fetch what the visitor seems about to open, while nothing else is going on. No DOM. */

const WAIT = 150;

/**
 * @param {object} options
 * @param {(data: string, signal: AbortSignal) => Promise<any>} options.fetch reads into the store's memory
 * @param {AbortSignal} options.signal of the view
 * @param {(work: () => void) => any} [options.idle]
 * @param {number} [options.wait] how long to linger, in ms, before it counts
 */
export function prefetch({ fetch, signal, idle = whenIdle, wait = WAIT }) {
  let control = null;
  let timer = 0;
  let now = null;

  function leave() {
    clearTimeout(timer);
    control?.abort();
    now = null;
  }

  signal.addEventListener("abort", leave, { once: true });
  return {
    /** @param {string} data path of what may be opened next */
    want(data) {
      if (data === now || signal.aborted) return;
      leave();
      now = data;
      control = new AbortController();
      const mine = control.signal;
      timer = setTimeout(() => {
        // What fails here is told when it is really opened.
        idle(() => mine.aborted || fetch(data, mine).catch(() => {}));
      }, wait);
    },
    leave,
  };
}

function whenIdle(work) {
  if (globalThis.requestIdleCallback) requestIdleCallback(work, { timeout: 1000 });
  else setTimeout(work);
}

/** Whether the visitor has asked to save data. */
export function savesData() {
  return Boolean(globalThis.navigator?.connection?.saveData);
}
