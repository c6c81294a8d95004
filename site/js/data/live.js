/** Stores that are being written: poll a live server, and describe what a run does. No DOM. */

/** @import { Live, Route } from "../types.js" */

/** How often a live server is polled, in ms. */
export const POLL_INTERVAL = 2000;
/** The factor of the interval while the server does not answer. */
const BACKOFF = 5;

/** After this many ms without a change, a run may have died. */
export const STALE_AFTER = 120_000;

/**
 * Whether everything is computed and nothing runs.
 * @param {Live} live
 */
export function isFinished({ networks, waiting }) {
  const whole = ({ stages, progress }) => !progress && Object.values(stages).every(Boolean);
  return waiting.length === 0 && networks.every(whole);
}

/**
 * What the view of a route depends on, as one string: while it stays the same, the view does too.
 * @param {Live} live
 * @param {Route} route
 */
export function viewDependencies(live, route) {
  const { networks, comparisons = [] } = live;
  const names = [networks.map(({ name }) => name), comparisons.map(({ name }) => name)];
  if (route.comparison !== null) {
    const parts = networks.map(({ files, layers }) => [files, layers[route.layer]?.stamp]);
    return JSON.stringify([names, comparisons.find(({ name }) => name === route.comparison), parts]);
  }
  const network = networks.find(({ name }) => name === (route.network ?? networks[0].name));
  if (!network) return JSON.stringify(names);
  const { files, layers } = network;
  /** @type {any[]} */
  const base = [names, files["network.json"]];
  if (route.channel !== null) {
    base.push(files["images.json"]);
    base.push(Object.entries(files).filter(([name]) => /^(circuits|expanded|spectrum)\//.test(name)));
  }
  if (route.layer !== null) base.push(layers[route.layer]?.stamp);
  else base.push(Object.entries(layers).map(([name, { stamp }]) => [name, stamp]));
  if (route.layer === null && route.class !== null) base.push(files["classes.json"]);
  return JSON.stringify(base);
}

/** By the name that a run reports in progress.json, what it does: the bars of torchlurk/pipeline/stages/*.py. */
const WORK = {
  scan: "Scanning the images",
  rough: "Scanning the images in bfloat16",
  again: "Scanning the best images again",
  crops: "Cutting out the crops",
  images: "Writing the images",
  circuits: "Computing what filters are made of",
  "expanded weights": "Computing the expanded weights of filters",
  "max gradients": "Computing gradients of the strongest units",
  "avg gradients": "Computing gradients of the mean activations",
  certificates: "Checking the crops",
  ascent: "Making filter images",
};

const STAGES = { scan: "scan", circuits: "circuits", gradients: "gradients", ascent: "filter images" };

/**
 * @typedef {object} ProgressText
 * @property {string} text
 * @property {string} detail
 * @property {number|null} share of the work that is done
 * @property {"runs"|"rests"|"done"} state
 */

/**
 * The progress of a network, in words.
 * @param {Live} live
 * @param {string|null} name of the network
 * @param {number} quiet for how long nothing has changed, in ms
 * @returns {ProgressText}
 */
export function progressText(live, name, quiet = 0) {
  const network = live.networks.find((candidate) => candidate.name === name) ?? live.networks[0];
  if (!network) {
    const text = `Waiting for the first results of ${live.waiting.join(", ")}`;
    return { text, detail: "", share: null, state: "rests" };
  }
  const { progress, stages } = network;
  if (progress) {
    const { work, unit, done, total } = progress;
    const text = WORK[work] ?? work;
    const detail = `${done} of ${total} ${unit}${total === 1 ? "" : "s"}`;
    const share = total > 0 ? Math.min(1, done / total) : null;
    if (quiet < STALE_AFTER) return { text, detail, share, state: "runs" };
    const minutes = Math.floor(quiet / 60_000);
    return { text, detail: `${detail}, no news for ${minutes} minutes`, share, state: "rests" };
  }
  const missing = Object.keys(STAGES)
    .filter((stage) => !stages[stage])
    .map((stage) => STAGES[stage]);
  if (!missing.length) return { text: "All is computed", detail: "", share: null, state: "done" };
  const detail = `not computed yet: ${missing.join(", ")}`;
  return { text: "Nothing is running", detail, share: null, state: "rests" };
}

/**
 * Poll a live server until everything is computed.
 * @param {object} options
 * @param {string} options.url
 * @param {(live: Live|null, quiet: number) => boolean} options.onUpdate is called with what the server sends (null if
 *   it does not answer) and for how long nothing has changed, in ms; returns whether the page is up to date with that
 * @param {typeof globalThis.fetch} [options.fetch]
 * @param {number} [options.every] in ms
 * @param {() => number} [options.clock] in ms
 * @param {(work: () => void, ms: number) => any} [options.setTimer]
 * @param {(timer: any) => void} [options.clearTimer]
 */
export function pollLive({
  url,
  onUpdate,
  fetch = globalThis.fetch.bind(globalThis),
  every = POLL_INTERVAL,
  clock = () => performance.now(),
  setTimer = (work, ms) => setTimeout(work, ms),
  clearTimer = (timer) => clearTimeout(timer),
}) {
  let timer = null;
  /** @type {Promise<void>|null} */
  let request = null; // the one that is under way
  let last = null;
  let changed = clock();
  let paused = false;

  async function poll() {
    let live = null;
    try {
      const response = await fetch(url, { cache: "no-cache" });
      const text = response.ok ? await response.text() : null;
      live = JSON.parse(text);
      if (text !== last) [last, changed] = [text, clock()];
    } catch {
      // The server may come back; until then the page keeps what it has.
    }
    const isUpToDate = onUpdate(live, clock() - changed);
    clearTimer(timer);
    timer = null;
    if (!paused && !(live && isUpToDate && isFinished(live))) {
      timer = setTimer(check, live ? every : every * BACKOFF);
    }
  }

  function check() {
    request ??= poll().finally(() => (request = null));
    return request;
  }

  return {
    /** Poll now, and from then on. */
    check,
    /** Stop polling until `resume`. */
    pause() {
      paused = true;
      clearTimer(timer);
      timer = null;
    },
    resume() {
      paused = false;
      return check();
    },
  };
}
