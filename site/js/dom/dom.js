/**
 * Small helpers to make elements. Text goes in as text: nothing here parses markup.
 */

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "on") {
      for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
    } else if (key === "style") {
      for (const [name, setting] of Object.entries(value)) node.style.setProperty(name, setting);
    } else if (key === "data") {
      Object.assign(node.dataset, value);
    } else {
      node.setAttribute(key, value === true ? "" : String(value));
    }
  }
  add(node, children);
  return node;
}

/**
 * Append children: nodes as they are, all else as text; null, undefined and false are left out.
 * @param {Element} node
 * @param {Array<any>} children
 */
export function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/**
 * Make an HTML element.
 * @param {string} tag
 * @param {object} [props] attributes; `on` holds listeners, `style` CSS properties, `data` data-*.
 * @param {...any} children
 * @returns {HTMLElement}
 */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/**
 * Make an SVG element.
 * @param {string} tag
 * @param {object} [props]
 * @param {...any} children
 * @returns {SVGElement}
 */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/**
 * Replace what an element holds.
 * @param {Element} node
 * @param {...any} children
 */
export function replace(node, ...children) {
  node.replaceChildren();
  add(node, children);
}

/**
 * An icon of 24 by 24 units, drawn with strokes, hidden from assistive technology.
 * @param {...string} paths
 */
export function icon(...paths) {
  return s(
    "svg",
    { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    paths.map((d) => s("path", { d })),
  );
}

/**
 * A link to another site, opened where the visitor chooses.
 * @param {string} href
 * @param {string} text
 */
export function externalLink(href, text) {
  return h("a", { class: "text-link", href, rel: "noreferrer" }, text);
}

/** A name that may go on in the next line after its dots. */
export function breakable(name) {
  return name.split(/(?<=[./_-])/).flatMap((part, i) => (i ? [h("wbr"), part] : [part]));
}
