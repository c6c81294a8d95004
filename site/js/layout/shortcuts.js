/** Transitive reduction of a network's edges: shortcuts are edges between layers that other edges connect too. Uses no DOM. */

/**
 * Split the edges into a transitive reduction and the shortcuts.
 * Residual and dense networks have far more shortcuts than layers; in the layout they would pull the layers apart.
 * @param {string[]} names layers in execution order
 * @param {Array<[string, string]>} edges
 * @returns {{plain: Array<[string, string]>, shortcuts: Array<[string, string]>}}
 */
export function withoutShortcuts(names, edges) {
  const order = new Map(names.map((name, i) => [name, i]));
  const next = names.map(() => []);
  for (const [a, b] of edges) {
    const [from, to] = [order.get(a), order.get(b)];
    if (from < to) next[from].push(to); // false also if either is undefined
  }
  const reach = names.map(() => new Uint8Array(names.length));
  const plain = new Set();
  for (let at = names.length - 1; at >= 0; at--) {
    const mine = reach[at];
    for (const to of next[at].sort((x, y) => x - y)) {
      if (mine[to]) continue;
      plain.add(`${at} ${to}`);
      mine[to] = 1;
      for (let i = to + 1; i < mine.length; i++) mine[i] |= reach[to][i];
    }
  }
  const known = edges.filter(([a, b]) => order.get(a) < order.get(b));
  const isPlain = ([a, b]) => plain.has(`${order.get(a)} ${order.get(b)}`);
  return { plain: known.filter(isPlain), shortcuts: known.filter((edge) => !isPlain(edge)) };
}
