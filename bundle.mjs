/**
 * `node bundle.mjs` bundles the page's modules and styles into site/dist, one file each, which are what is served.
 * `node bundle.mjs --check` fails if they are not what the sources make.
 */
import { readFile, writeFile } from "node:fs/promises";
import { argv, exit } from "node:process";
import { build } from "esbuild";

const LINE = 160;

/** The libraries that the modules find as globals (site/js/vendored): their scripts come first, unchanged. */
const LIBRARIES = [
  { script: "site/vendor/d3-7.9.0/d3.min.js", licence: "site/vendor/d3-7.9.0/LICENSE", title: "D3 7.9.0" },
  { script: "site/vendor/dagre-3.1.3/dagre.min.js", licence: "site/vendor/dagre-3.1.3/LICENSE", title: "dagre 3.1.3" },
];

const read = (path) => readFile(path, "utf8");

/** The licences of all that is in the script, as one comment. */
async function licences() {
  const all = [
    "Torchlurk: made from site/js by `npm run bundle`.",
    await read("LICENSE"),
    ...(await Promise.all(
      LIBRARIES.map(async ({ title, licence }) => `This file contains ${title}.\n\n${await read(licence)}`),
    )),
  ];
  return `/*!\n${all.map((text) => text.trim()).join("\n\n")}\n*/\n`;
}

/** An entry point and what it imports, minified, as text. */
async function bundled(entry, format) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    charset: "utf8",
    format,
    legalComments: "none",
    lineLimit: LINE,
    logLevel: "warning",
    minify: true,
    target: "es2022",
    write: false,
  });
  return outputFiles[0].text;
}

async function script() {
  const scripts = await Promise.all(LIBRARIES.map((library) => read(library.script)));
  const libraries = scripts.map((text) => text.replace(/^\/\/# sourceMappingURL=.*\n?/gm, ""));
  return [await licences(), ...libraries, await bundled("site/js/app.js", "iife")].join("");
}

const made = {
  "site/dist/app.js": await script(),
  "site/dist/app.css": await bundled("site/css/all.css"),
};
for (const [path, text] of Object.entries(made)) {
  if (!argv.includes("--check")) await writeFile(path, text);
  else if ((await read(path).catch(() => null)) !== text) {
    console.error(`${path} is not what its sources make: run npm run bundle`);
    exit(1);
  }
}
