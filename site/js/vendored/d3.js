/** D3, from the script that index.html loads before the modules. */
export default globalThis.d3;
