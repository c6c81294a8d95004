/** Make elements. Text goes in as text: nothing here parses markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Attributes; null, undefined and false leave one out. `on` holds listeners, `style` CSS properties, `data` data-*.
 * @typedef {Record<string, any>|null} Props
 */

/**
 * @template {HTMLElement|SVGElement} E
 * @param {E} node
 * @param {Props|undefined} props
 * @param {any[]} children
 * @returns {E}
 */
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
  append(node, children);
  return node;
}

/**
 * Append children: nodes as they are, all else as text; null, undefined and false are left out.
 * @param {Element} node
 * @param {any[]} children
 */
function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/**
 * Make an HTML element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Props} [props]
 * @param {...any} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/**
 * Make an SVG element.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Props} [props]
 * @param {...any} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/**
 * Replace the children of an element.
 * @param {Element} node
 * @param {...any} children
 */
export function replace(node, ...children) {
  node.replaceChildren();
  append(node, children);
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
 * A link to another site.
 * @param {string} href
 * @param {string} text
 */
export function externalLink(href, text) {
  return h("a", { class: "text-link", href, rel: "noreferrer" }, text);
}

/**
 * A name that may wrap after its dots.
 * @param {string} name
 */
export function breakable(name) {
  return name.split(/(?<=[./_-])/).flatMap((part, i) => (i ? [h("wbr"), part] : [part]));
}

/**
 * The closest ancestor of an event's target that matches a selector.
 * @param {Event} event
 * @param {string} selector
 * @returns {HTMLElement|null}
 */
export function closest({ target }, selector) {
  return target instanceof Element ? target.closest(selector) : null;
}
