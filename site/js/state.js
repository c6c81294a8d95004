/**
 * Where the visitor is: a route, and the hash that says it. Pure.
 *
 *     #/<network>/<layer>/<channel>?sort=…&tile=…&class=…&show=…
 *
 * Without a layer, a class is a page of its own: the filters of all layers that prefer it.
 */

export const SORTS = ["channel", "selectivity", "active", "dead", "score"];
export const TILES = ["ascent", "crop", "image", "gradient"];
export const SHOWS = ["image", "gradient", "overlay"];

/**
 * @typedef {object} Route
 * @property {string|null} network
 * @property {string|null} layer
 * @property {number|null} channel
 * @property {string} sort one of SORTS
 * @property {string|null} tile one of TILES, or null: what the network has
 * @property {number|null} class an index into the data set's classes
 * @property {string} show one of SHOWS
 */

/** @type {Route} */
const START = {
  network: null,
  layer: null,
  channel: null,
  sort: "channel",
  tile: null,
  class: null,
  show: "image",
};

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function natural(text) {
  return /^\d{1,9}$/.test(text ?? "") ? Number(text) : null;
}

function oneOf(values, text, otherwise) {
  return values.includes(text) ? text : otherwise;
}

/**
 * Read a hash. What it does not say, or says wrongly, takes its usual value.
 * @param {string} hash
 * @returns {Route}
 */
export function parse(hash) {
  const text = hash.replace(/^#?\/?/, "");
  const mark = text.indexOf("?");
  const path = mark < 0 ? text : text.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? "" : text.slice(mark + 1));
  const [network, layer, channel] = path.split("/").map(decode);
  return {
    network: network || null,
    layer: (network && layer) || null,
    channel: network && layer ? natural(channel) : null,
    sort: oneOf(SORTS, query.get("sort"), START.sort),
    tile: oneOf(TILES, query.get("tile"), START.tile),
    class: natural(query.get("class")),
    show: oneOf(SHOWS, query.get("show"), START.show),
  };
}

/**
 * Write a route as a hash, the shortest that reads back as the same route.
 * @param {Partial<Route>} route
 * @returns {string}
 */
export function format(route) {
  const full = { ...START, ...route };
  const parts = [];
  if (full.network !== null) {
    parts.push(full.network);
    if (full.layer !== null) {
      parts.push(full.layer);
      if (full.channel !== null) parts.push(full.channel);
    }
  }
  const query = new URLSearchParams();
  for (const key of ["sort", "tile", "class", "show"]) {
    if (full[key] !== START[key]) query.set(key, String(full[key]));
  }
  const tail = query.toString();
  return `#/${parts.map((part) => encodeURIComponent(part)).join("/")}${tail ? `?${tail}` : ""}`;
}

/**
 * The route one level up; null at the top.
 * @param {Route} route
 * @returns {Route|null}
 */
export function up(route) {
  if (route.channel !== null) return { ...route, channel: null };
  if (route.layer !== null || route.class !== null) return { ...route, layer: null, class: null };
  return null;
}

/**
 * Whether two routes are the same page, whatever their switches.
 * @param {Route|null} a
 * @param {Route|null} b
 */
export function samePage(a, b) {
  if (!a || !b || ["network", "layer", "channel"].some((key) => a[key] !== b[key])) return false;
  return a.layer !== null || a.class === b.class;
}
