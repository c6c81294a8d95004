/** D3, from the script that index.html loads before the modules. */

/** @type {typeof import("d3")} */
const d3 = globalThis.d3;

export default d3;
