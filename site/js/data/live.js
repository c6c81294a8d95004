/** Stores that are still being written: asking what has changed, and what that means. No DOM. */

/** How often a live server is asked, in ms; how often when it does not answer. */
export const POLL_INTERVAL = 2000;
const PATIENT = 5;

/** Without news for so long, in ms, a run may have died. */
export const STALE_AFTER = 120_000;

/**
 * @typedef {object} Network what a live server says of a store that has begun
 * @property {string} name
 * @property {string} path
 * @property {Record<string, string>} files stamps, of those that are there
 * @property {Record<string, {data: string, stamp: string, made: Record<string, Array<[number, number]>>}>} layers
 * @property {Record<string, boolean>} stages which are complete
 * @property {{work: string, unit: string, done: number, total: number}|null} progress
 *
 * @typedef {{name: string, path: string, files: Record<string, string>}} Compared a comparison that is there
 *
 * @typedef {{networks: Network[], comparisons?: Compared[], waiting: string[]}} Live
 */

/** Whether nothing more is to come: all that can be computed is, and nothing runs. */
export function isFinished({ networks, waiting }) {
  const whole = ({ stages, progress }) => !progress && Object.values(stages).every(Boolean);
  return waiting.length === 0 && networks.every(whole);
}

/**
 * What a view of a route is made of, as one text: if it has not changed, the view is as it was.
 * @param {Live} live
 * @param {import("./route.js").Route} route
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
  const base = [names, files["network.json"]];
  if (route.channel !== null) base.push(files["images.json"]);
  if (route.layer !== null) base.push(layers[route.layer]?.stamp);
  else base.push(Object.entries(layers).map(([name, { stamp }]) => [name, stamp]));
  if (route.layer === null && route.class !== null) base.push(files["classes.json"]);
  return JSON.stringify(base);
}

const WORK = {
  scan: "Scanning the images",
  again: "Scanning the best images again",
  crops: "Cutting out the crops",
  images: "Writing the images",
  gradients: "Computing gradients",
  ascent: "Making filter images",
};

const STAGES = { scan: "scan", gradients: "gradients", ascent: "filter images" };

/**
 * What to say of the network that is looked at.
 * @param {Live} live
 * @param {string|null} name of the network
 * @param {number} quiet for how long nothing has changed, in ms
 * @returns {{text: string, detail: string, share: number|null, state: "runs"|"rests"|"done"}}
 */
export function progressText(live, name, quiet = 0) {
  const network = live.networks.find((one) => one.name === name) ?? live.networks[0];
  if (!network) {
    return {
      text: `Waiting for the first results of ${live.waiting.join(", ")}`,
      detail: "",
      share: null,
      state: "rests",
    };
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
  return { text: "Nothing is running", detail: `not computed yet: ${missing.join(", ")}`, share: null, state: "rests" };
}

/**
 * Ask again and again, until nothing more is to come.
 * @param {object} options
 * @param {string} options.url
 * @param {(live: Live|null, quiet: number) => boolean} options.told is told what the server says, null where it does
 *   not answer, and for how long nothing has changed; says whether it is done with that
 * @param {typeof fetch} [options.fetch]
 * @param {number} [options.every] in ms
 * @param {() => number} [options.clock] in ms
 * @param {(work: () => void, ms: number) => any} [options.later] calls once, after a time
 * @param {(timer: any) => void} [options.never] takes that back
 */
export function pollLive({
  url,
  told,
  fetch = globalThis.fetch.bind(globalThis),
  every = POLL_INTERVAL,
  clock = () => performance.now(),
  later = (work, ms) => setTimeout(work, ms),
  never = (timer) => clearTimeout(timer),
}) {
  let timer = null;
  let asking = null; // the question that is under way, of which there is one at a time
  let last = null;
  let changed = clock();
  let paused = false;

  async function ask() {
    let live = null;
    try {
      const response = await fetch(url, { cache: "no-cache" });
      const text = response.ok ? await response.text() : null;
      live = JSON.parse(text);
      if (text !== last) [last, changed] = [text, clock()];
    } catch {
      // The server may come back; until then the page keeps what it has.
    }
    const done = told(live, clock() - changed);
    never(timer);
    timer = null;
    if (!paused && !(live && done && isFinished(live))) {
      timer = later(check, live ? every : every * PATIENT);
    }
  }

  function check() {
    asking ??= ask().finally(() => (asking = null));
    return asking;
  }

  return {
    /** Ask now; goes on by itself from there. */
    check,
    /** Ask no more, until `resume`. */
    pause() {
      paused = true;
      never(timer);
      timer = null;
    },
    resume() {
      paused = false;
      return check();
    },
  };
}
