/** dagre (layered graph layout), from the script that index.html loads before the modules. */
export default globalThis.dagre;
