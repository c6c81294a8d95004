/** dagre (layered graph layout), from the script that index.html loads before the modules. */

/** @typedef {typeof import("@dagrejs/dagre")} Dagre */

/** @type {Dagre} */
const dagre = globalThis.dagre;

export default dagre;
