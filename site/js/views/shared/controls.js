/** Controls that several views share. */
import { h, icon } from "../../dom/dom.js";

/**
 * A row of links of which one is current: a switch whose state is in the URL.
 * @param {string} label
 * @param {Array<{value: string, text: string, href: string, title?: string}>} options
 * @param {string} current
 */
export function choices(label, options, current) {
  return h(
    "div",
    { class: "choices", role: "group", "aria-label": label },
    h("span", { class: "choices-label", "aria-hidden": "true" }, label),
    h(
      "span",
      { class: "choices-row" },
      options.map(({ value, text, href, title }) =>
        h(
          "a",
          { class: "choice", href, title, "aria-current": value === current ? "true" : null, data: { value } },
          text,
        ),
      ),
    ),
  );
}

/**
 * Links to the neighbours, either of which may be missing.
 * @param {string} what "layer", "filter" or "class"
 * @param {{href: string, text: string}|null} before
 * @param {{href: string, text: string}|null} after
 * @param {string} [many] the plural of `what`
 */
export function neighbours(what, before, after, many = `${what}s`) {
  const one = (side, to, path, words) =>
    to
      ? h(
          "a",
          {
            class: `button step ${side} ${what}`,
            href: to.href,
            rel: side === "before" ? "prev" : "next",
            "aria-label": `${words} ${what}: ${to.text}`,
            title: `${words} ${what}: ${to.text}`,
          },
          side === "before" ? icon(path) : null,
          h("span", { class: "step-text" }, h("bdi", null, to.text)),
          side === "after" ? icon(path) : null,
        )
      : null;
  return h(
    "nav",
    { class: "neighbours", "aria-label": `Neighbouring ${many}` },
    one("before", before, "M15 5l-7 7 7 7", "Previous"),
    one("after", after, "M9 5l7 7-7 7", "Next"),
  );
}

/**
 * A term and its value, in a row of facts.
 * @param {string} term
 * @param {...any} value
 */
export function fact(term, ...value) {
  return h("div", { class: "fact" }, h("dt", null, term), h("dd", null, value));
}
