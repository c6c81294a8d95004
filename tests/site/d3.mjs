/** D3 as index.html loads it: a test of a module that uses it imports this file first. */
import { createRequire } from "node:module";

globalThis.d3 = createRequire(import.meta.url)("../../site/vendor/d3-7.9.0/d3.min.js");
