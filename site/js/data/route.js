/**
 * Routes: where the visitor is, as an object and as the hash of the address. Uses no DOM.
 *
 *     #/<network>/<layer>/<channel>?sort=…&tile=…&class=…&show=…
 *     #/compare:<comparison>/<layer>/<channel>?by=…&pair=…&order=…&tile=…&show=…
 *
 * Without a layer, a class is a page of its own: the filters of all layers that prefer it. The hash of a network never
 * begins with `compare:`, since a colon in its name is encoded as `%3A`.
 */

/** @import { Route } from "../types.js" */

export const SORTS = ["channel", "selectivity", "active", "dead", "score"];
export const TILES = ["ascent", "crop", "image", "gradient"];
export const SHOWS = ["image", "gradient", "overlay"];
export const ORDERS = ["change", "place"];

const COMPARE = "compare:";

/** @type {Route} */
const DEFAULTS = {
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
 * Parse a hash; what is missing or invalid has its default value.
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
    sort: oneOf(SORTS, query.get("sort"), DEFAULTS.sort),
    tile: oneOf(TILES, query.get("tile"), DEFAULTS.tile),
    class: natural(query.get("class")),
    show: oneOf(SHOWS, query.get("show"), DEFAULTS.show),
    by: query.get("by") || null,
    pair: /^\d{1,4}-\d{1,4}$/.test(pair ?? "") ? pair : null,
    order: oneOf(ORDERS, query.get("order"), DEFAULTS.order),
  };
}

/**
 * Format a route as the shortest hash that parses to the same route.
 * @param {Partial<Route>} route
 * @returns {string}
 */
export function formatRoute(route) {
  const full = { ...DEFAULTS, ...route };
  const parts = [];
  if (full.comparison !== null) parts.push(COMPARE + encodeURIComponent(full.comparison));
  else if (full.network !== null) parts.push(encodeURIComponent(full.network));
  if (parts.length && full.layer !== null) {
    parts.push(encodeURIComponent(full.layer));
    if (full.channel !== null) parts.push(full.channel);
  }
  const query = new URLSearchParams();
  for (const key of ["sort", "by", "pair", "order", "tile", "class", "show"]) {
    if (full[key] !== DEFAULTS[key]) query.set(key, String(full[key]));
  }
  const search = query.toString();
  return `#/${parts.join("/")}${search ? `?${search}` : ""}`;
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
 * Whether two routes are the same page in the same or another state. Another pair of a comparison is another page.
 * @param {Route|null} a
 * @param {Route|null} b
 */
export function samePage(a, b) {
  if (!a || !b || ["network", "comparison", "layer", "channel", "pair"].some((key) => a[key] !== b[key])) return false;
  return a.layer !== null || a.class === b.class;
}
