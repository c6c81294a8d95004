/** The tree of a circuit: a filter, its neighbours, theirs, and what the visitor opened and removed. Uses no DOM. */
import { neighboursIn } from "./circuits.js";

/** @import { Circuit, CircuitPart, Layer, Manifest, Route } from "../types.js" */

/** So many nodes at most are drawn before the visitor opens more. */
const MOST = 400;

/**
 * @typedef {object} TreeNode
 * @property {string} key the places on the way from the root, as in "0.2"; "" for the root
 * @property {Layer} layer
 * @property {number} channel
 * @property {CircuitPart|null} part what its parent's circuit says of it; null for the root
 * @property {number} scale of the kernel
 * @property {TreeNode|null} parent
 * @property {number} level 0 for the root
 * @property {TreeNode[]} children
 * @property {boolean} canOpen whether it has neighbours further on, as far as is known
 * @property {boolean} isOpen whether they are shown
 * @property {boolean} failed whether its circuit could not be read
 * @property {number} copies how often the filter occurs in the tree
 *
 * @typedef {object} Tree
 * @property {TreeNode} root
 * @property {TreeNode[]} nodes each before its children, and these in order
 * @property {Set<Layer>} missing layers whose circuits must be read for the rest
 * @property {boolean} full whether some nodes were left closed since there are so many
 */

/** @param {string|null} keys of a route */
export function keysOf(keys) {
  return new Set(keys ? keys.split("_") : []);
}

/** @param {Set<string>} keys */
function listed(keys) {
  return [...keys].sort().join("_") || null;
}

/**
 * @param {object} what
 * @param {Manifest} what.manifest
 * @param {Layer} what.layer of the root
 * @param {number} what.channel
 * @param {Route} what.route says how far the tree reaches
 * @param {(layer: Layer, channel: number) => Circuit|null|undefined} what.circuit null where there is none, undefined
 *   where it is not read yet
 * @returns {Tree}
 */
export function buildTree({ manifest, layer: rootLayer, channel: rootChannel, route, circuit }) {
  const { depth, width, direction } = route;
  const [opened, folded, removed] = [route.opened, route.folded, route.removed].map(keysOf);
  const near = new Set(manifest.edges.map(([from, to]) => (direction === "down" ? from : to)));
  /** @type {Set<Layer>} */
  const missing = new Set();
  let full = false;

  /** @returns {TreeNode} */
  const node = (key, { layer, channel, part = null, parent = null, scale = 0 }) => ({
    key,
    layer,
    channel,
    part,
    scale,
    parent,
    level: parent ? parent.level + 1 : 0,
    children: [],
    canOpen: near.has(layer.name),
    isOpen: false,
    failed: false,
    copies: 1,
  });
  const root = node("", { layer: rootLayer, channel: rootChannel });
  const queue = [root];
  for (const one of queue) {
    const isChosen = opened.has(one.key);
    if (folded.has(one.key) || !(isChosen || one.level < depth)) continue;
    const found = circuit(one.layer, one.channel);
    if (!found) {
      if (found === undefined) missing.add(one.layer);
      else [one.failed, one.canOpen] = [true, false];
      continue;
    }
    const parts = neighboursIn(found, direction).slice(0, width);
    one.canOpen = parts.length > 0;
    if (queue.length + parts.length > MOST && !isChosen) {
      full ||= one.canOpen;
      continue;
    }
    one.isOpen = one.canOpen;
    one.children = parts
      .map((part, i) => node(one.key ? `${one.key}.${i}` : `${i}`, { ...part, part, parent: one, scale: found.scale }))
      .filter(({ key }) => !removed.has(key));
    queue.push(...one.children);
  }
  /** @type {Map<string, number>} */
  const copies = new Map();
  for (const one of queue) copies.set(filterKey(one), (copies.get(filterKey(one)) ?? 0) + 1);
  for (const one of queue) one.copies = copies.get(filterKey(one));
  return { root, nodes: inOrder(root), missing, full };
}

/** @param {TreeNode} node */
function inOrder(node) {
  return [node, ...node.children.flatMap(inOrder)];
}

/**
 * What identifies the filter of a node.
 * @param {Pick<TreeNode, "layer"|"channel">} node
 */
export function filterKey({ layer, channel }) {
  return `${layer.name}:${channel}`;
}

/**
 * The route that shows the neighbours of a node, or hides them if they are shown.
 * @param {Route} route
 * @param {TreeNode} node not the root
 * @returns {Route}
 */
export function toggleNode(route, { key, isOpen, level }) {
  const [opened, folded] = [keysOf(route.opened), keysOf(route.folded)];
  if (!isOpen && !folded.delete(key)) opened.add(key);
  if (isOpen) opened.delete(key);
  if (isOpen && level < route.depth) folded.add(key);
  return { ...route, opened: listed(opened), folded: listed(folded) };
}

/**
 * The route that leaves out a node and all beyond it.
 * @param {Route} route
 * @param {TreeNode} node not the root
 * @returns {Route}
 */
export function removeNode(route, { key }) {
  const beyond = (other) => other === key || other.startsWith(`${key}.`);
  const without = (keys) => new Set([...keysOf(keys)].filter((other) => !beyond(other)));
  return {
    ...route,
    opened: listed(without(route.opened)),
    folded: listed(without(route.folded)),
    removed: listed(without(route.removed).add(key)),
  };
}
