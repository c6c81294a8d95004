/** Fetch what the visitor is likely to open next, while the browser is idle. No DOM. */

const HOVER_MS = 150;

/**
 * @param {object} options
 * @param {(data: string, signal: AbortSignal) => Promise<any>} options.fetch reads into the store's cache
 * @param {AbortSignal} options.signal of the view
 * @param {(work: () => void) => any} [options.idle]
 * @param {number} [options.wait] how long the pointer or the focus must stay, in ms
 */
export function prefetch({ fetch, signal, idle = whenIdle, wait = HOVER_MS }) {
  /** @type {AbortController|null} */
  let control = null;
  /** @type {any} */
  let timer = 0;
  let requested = null;

  function cancel() {
    clearTimeout(timer);
    control?.abort();
    requested = null;
  }

  signal.addEventListener("abort", cancel, { once: true });
  return {
    /** @param {string} data path of what may be opened next */
    request(data) {
      if (data === requested || signal.aborted) return;
      cancel();
      requested = data;
      control = new AbortController();
      const own = control.signal;
      timer = setTimeout(() => {
        // A failure is reported when the layer is opened.
        idle(() => own.aborted || fetch(data, own).catch(() => {}));
      }, wait);
    },
    cancel,
  };
}

function whenIdle(work) {
  if (globalThis.requestIdleCallback) requestIdleCallback(work, { timeout: 1000 });
  else setTimeout(work);
}

/** Whether the visitor asked the browser to save data. */
export function savesData() {
  const { connection } = /** @type {{connection?: {saveData?: boolean}}} */ (globalThis.navigator ?? {});
  return Boolean(connection?.saveData);
}
