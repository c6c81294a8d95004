/**
 * Where the visitor is: a route, and the hash that says it. Pure.
 *
 *     #/<network>/<layer>/<channel>?sort=…&tile=…&class=…&show=…
 *     #/compare:<comparison>/<layer>/<channel>?by=…&pair=…&order=…&tile=…&show=…
 *
 * Without a layer, a class is a page of its own: the filters of all layers that prefer it. No name of a network begins
 * with `compare:`, whose colon would be written `%3A`.
 */

export const SORTS = ["channel", "selectivity", "active", "dead", "score"];
export const TILES = ["ascent", "crop", "image", "gradient"];
export const SHOWS = ["image", "gradient", "overlay"];
export const ORDERS = ["change", "place"];

const COMPARE = "compare:";

/**
 * @typedef {object} Route
 * @property {string|null} network
 * @property {string|null} comparison in place of a network
 * @property {string|null} layer
 * @property {number|null} channel
 * @property {string} sort one of SORTS
 * @property {string|null} tile one of TILES, or null: what the network has
 * @property {number|null} class an index into the data set's classes
 * @property {string} show one of SHOWS
 * @property {string|null} by of a comparison: a measure's name, or null for the first
 * @property {string|null} pair of a comparison: two of its stores, as "0-2", or null: from the first to the last
 * @property {string} order of a comparison's layers, one of ORDERS
 */

/** @type {Route} */
const START = {
  network: null,
  comparison: null,
  layer: null,
  channel: null,
  sort: "channel",
  tile: null,
  class: null,
  show: "image",
  by: null,
  pair: null,
  order: "change",
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
export function parseRoute(hash) {
  const text = hash.replace(/^#?\/?/, "");
  const mark = text.indexOf("?");
  const path = mark < 0 ? text : text.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? "" : text.slice(mark + 1));
  const [first, layer, channel] = path.split("/");
  const compared = first.startsWith(COMPARE) && first.length > COMPARE.length;
  const place = decode(compared ? first.slice(COMPARE.length) : first) || null;
  const pair = query.get("pair");
  return {
    network: compared ? null : place,
    comparison: compared ? place : null,
    layer: (place && layer && decode(layer)) || null,
    channel: place && layer ? natural(channel) : null,
    sort: oneOf(SORTS, query.get("sort"), START.sort),
    tile: oneOf(TILES, query.get("tile"), START.tile),
    class: natural(query.get("class")),
    show: oneOf(SHOWS, query.get("show"), START.show),
    by: query.get("by") || null,
    pair: /^\d{1,4}-\d{1,4}$/.test(pair ?? "") ? pair : null,
    order: oneOf(ORDERS, query.get("order"), START.order),
  };
}

/**
 * Write a route as a hash, the shortest that reads back as the same route.
 * @param {Partial<Route>} route
 * @returns {string}
 */
export function formatRoute(route) {
  const full = { ...START, ...route };
  const parts = [];
  if (full.comparison !== null) parts.push(COMPARE + encodeURIComponent(full.comparison));
  else if (full.network !== null) parts.push(encodeURIComponent(full.network));
  if (parts.length && full.layer !== null) {
    parts.push(encodeURIComponent(full.layer));
    if (full.channel !== null) parts.push(full.channel);
  }
  const query = new URLSearchParams();
  for (const key of ["sort", "by", "pair", "order", "tile", "class", "show"]) {
    if (full[key] !== START[key]) query.set(key, String(full[key]));
  }
  const tail = query.toString();
  return `#/${parts.join("/")}${tail ? `?${tail}` : ""}`;
}

/**
 * The route one level up; null at the top.
 * @param {Route} route
 * @returns {Route|null}
 */
export function parentRoute(route) {
  if (route.channel !== null) return { ...route, channel: null };
  if (route.layer !== null || route.class !== null) return { ...route, layer: null, class: null };
  return null;
}

/**
 * Whether two routes are the same page, whatever their switches. Another pair of a comparison is another page.
 * @param {Route|null} a
 * @param {Route|null} b
 */
export function samePage(a, b) {
  if (!a || !b || ["network", "comparison", "layer", "channel", "pair"].some((key) => a[key] !== b[key])) return false;
  return a.layer !== null || a.class === b.class;
}
