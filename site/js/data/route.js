/**
 * Routes: where the visitor is, as an object and as the hash of the address. Uses no DOM.
 *
 *     #/<network>/<layer>/<channel>?sort=…&tile=…&class=…&show=…
 *     #/<network>/circuit/<layer>/<channel>?depth=…&width=…&direction=…&opened=…&folded=…&removed=…
 *     #/compare:<comparison>/<layer>/<channel>?by=…&pair=…&order=…&tile=…&show=…
 *
 * A circuit has four parts, so that a layer may be named "circuit". Without a layer, a class is a page of its own: the filters of all layers that prefer it. The hash of a network never
 * begins with `compare:`, since a colon in its name is encoded as `%3A`.
 */

/** @import { Route } from "../types.js" */

export const SORTS = ["channel", "selectivity", "active", "dead", "score"];
export const TILES = ["ascent", "crop", "image", "gradient"];
export const SHOWS = ["image", "gradient", "overlay"];
export const ORDERS = ["change", "place"];
export const DIRECTIONS = ["up", "down"];
export const DEPTHS = [1, 2, 3, 4];
export const WIDTHS = [2, 3, 4, 6];

/** What a circuit keeps in its address; the same names in a Route. */
const CIRCUIT_KEYS = ["depth", "width", "direction", "opened", "folded", "removed"];

const COMPARE = "compare:";
const CIRCUIT = "circuit";
/** Nodes of a tree, as in "0_2.1": see TreeNode in circuit-tree.js. */
const NODES = /^\d{1,2}(\.\d{1,2}){0,11}(_\d{1,2}(\.\d{1,2}){0,11}){0,399}$/;

/** What makes another page; all else is a state of one. */
const PAGE = ["network", "comparison", "layer", "channel", "pair", "circuit"];

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
  circuit: false,
  depth: 2,
  width: 4,
  direction: "up",
  opened: null,
  folded: null,
  removed: null,
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
  const [first, ...rest] = path.split("/");
  const compared = first.startsWith(COMPARE) && first.length > COMPARE.length;
  const circuit = !compared && rest.length === 3 && rest[0] === CIRCUIT && natural(rest[2]) !== null;
  const [layer, channel] = circuit ? rest.slice(1) : rest;
  const place = decode(compared ? first.slice(COMPARE.length) : first) || null;
  const pair = query.get("pair");
  const nodes = (key) => (NODES.test(query.get(key) ?? "") ? query.get(key) : null);
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
    circuit: Boolean(circuit && place && layer),
    depth: oneOf(DEPTHS, natural(query.get("depth")), DEFAULTS.depth),
    width: oneOf(WIDTHS, natural(query.get("width")), DEFAULTS.width),
    direction: oneOf(DIRECTIONS, query.get("direction"), DEFAULTS.direction),
    opened: nodes("opened"),
    folded: nodes("folded"),
    removed: nodes("removed"),
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
  const circuit = full.circuit && full.channel !== null;
  if (parts.length && full.layer !== null) {
    if (circuit) parts.push(CIRCUIT);
    parts.push(encodeURIComponent(full.layer));
    if (full.channel !== null) parts.push(full.channel);
  }
  const query = new URLSearchParams();
  const keys = ["sort", "by", "pair", "order", "tile", "class", "show"];
  for (const key of circuit ? [...keys, ...CIRCUIT_KEYS] : keys) {
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
  if (route.circuit) return { ...route, circuit: false };
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
  if (!a || !b || PAGE.some((key) => a[key] !== b[key])) return false;
  return a.layer !== null || a.class === b.class;
}
