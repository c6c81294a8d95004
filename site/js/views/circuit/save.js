/** Save the drawing of a circuit: as SVG that stands alone, or as PNG. */
import { h, s } from "../../dom/dom.js";

/** What the stylesheet decides and a file must say itself. */
const STYLES = [
  "fill",
  "fill-opacity",
  "stroke",
  "stroke-width",
  "stroke-opacity",
  "stroke-dasharray",
  "stroke-linecap",
  "font-family",
  "font-size",
  "font-weight",
  "text-anchor",
];
const MARGIN = 24;
const HEAD = 62;

/** A PNG has two pixels for each of the drawing, unless that is more than browsers can draw. */
const SCALE = 2;
const MOST_PIXELS = 12_000;

/** What XML cannot hold: control characters, and halves of characters. */
// eslint-disable-next-line no-control-regex
const FORBIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/gu;

/**
 * A drawing as the text of a file, in the colours of the page.
 * @param {SVGSVGElement} drawing is not in the page
 * @param {string} title
 * @param {string} note what the lines mean
 * @returns {{text: string, width: number, height: number}}
 */
export function svgFile(drawing, title, note) {
  const [width, height] = ["width", "height"].map((side) => Number(drawing.getAttribute(side)));
  const size = { width: Math.max(520, width + 2 * MARGIN), height: height + HEAD + 2 * MARGIN };
  drawing.setAttribute("x", String((size.width - width) / 2));
  drawing.setAttribute("y", String(HEAD + MARGIN));
  drawing.setAttribute("overflow", "visible");
  for (const node of drawing.querySelectorAll(".node-handle")) node.remove();
  const paper = s(
    "svg",
    { class: "circuit-paper", ...size, viewBox: `0 0 ${size.width} ${size.height}` },
    s("title", null, title),
    s("rect", { class: "paper", width: size.width, height: size.height }),
    s("text", { class: "paper-title", x: MARGIN, y: MARGIN + 16 }, title),
    s("text", { class: "paper-note", x: MARGIN, y: MARGIN + 38 }, note),
    drawing,
  );
  const desk = h("div", { class: "circuit-desk", "aria-hidden": "true" }, paper);
  document.body.append(desk);
  for (const node of paper.querySelectorAll("*")) {
    const style = getComputedStyle(node);
    for (const name of STYLES) node.setAttribute(name, style.getPropertyValue(name));
    for (const { name } of [...node.attributes]) {
      if (/^(class|role|tabindex|aria-.*|data-.*)$/.test(name)) node.removeAttribute(name);
    }
  }
  desk.remove();
  paper.removeAttribute("class");
  const text = new XMLSerializer().serializeToString(paper).replace(FORBIDDEN, "\ufffd");
  return { text, ...size };
}

/**
 * @param {ReturnType<typeof svgFile>} file
 * @returns {Promise<Blob>}
 */
async function pngFile({ text, width, height }) {
  const scale = Math.min(SCALE, MOST_PIXELS / Math.max(width, height));
  const image = h("img", { src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}` });
  await image.decode();
  const canvas = h("canvas", { width: Math.ceil(width * scale), height: Math.ceil(height * scale) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The picture is too large."))), "image/png"),
  );
}

/** Offer a file for download. */
function download(blob, name) {
  const href = URL.createObjectURL(blob);
  h("a", { href, download: name.replace(/[^\w.-]+/g, "-").slice(-120) }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

/**
 * @param {() => ReturnType<typeof svgFile>} file makes the drawing
 * @param {string} name of the file, without a suffix
 * @param {() => void} onError
 */
export function saveButtons(file, name, onError) {
  const save = {
    SVG: async () => download(new Blob([file().text], { type: "image/svg+xml" }), `${name}.svg`),
    PNG: async () => download(await pngFile(file()), `${name}.png`),
  };
  return Object.entries(save).map(([kind, click]) => {
    const label = `Save as ${kind}`;
    const props = { type: "button", class: "button", title: label, "aria-label": label };
    return h("button", { ...props, on: { click: () => click().catch(onError) } }, kind);
  });
}
