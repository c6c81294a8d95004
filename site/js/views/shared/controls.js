/** Controls that several views share. */
import { h, icon } from "../../dom/dom.js";
import { formatRoute } from "../../data/route.js";

/**
 * A row of links, one of them current: a switch whose state is in the URL.
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
 * A drop-down list with a label.
 * @param {object} options
 * @param {string} options.id
 * @param {string} options.label
 * @param {string} [options.title]
 * @param {Array<{value: string|number, text: string}>} options.options
 * @param {string|number} options.current
 * @param {(value: string) => void} options.onChange
 */
export function selectControl({ id, label, title, options, current, onChange }) {
  const select = h(
    "select",
    { id, title, on: { change: () => onChange(select.value) } },
    options.map(({ value, text }) => h("option", { value, selected: value === current }, text)),
  );
  return h("label", { class: "select" }, h("span", { class: "choices-label" }, label), select);
}

const SHOW_NAMES = { image: "Image", gradient: "Gradient", overlay: "Overlay" };

/**
 * The switch between images, gradients, and gradients over images.
 * @param {import("../../types.js").Route} now
 */
export function showChoices(now) {
  const options = Object.entries(SHOW_NAMES).map(([value, text]) => ({
    value,
    text,
    href: formatRoute({ ...now, show: value }),
  }));
  return choices("Show", options, now.show);
}

/** @typedef {{href: string, text: string}|null} Step */

/**
 * Links to the neighbours; either may be missing.
 * @param {string} what "layer", "filter" or "class"
 * @param {Step} before
 * @param {Step} after
 * @param {string} [many] the plural of `what`
 */
export function neighbours(what, before, after, many = `${what}s`) {
  const link = (side, step, path, direction) => {
    if (!step) return null;
    const label = `${direction} ${what}: ${step.text}`;
    const rel = side === "before" ? "prev" : "next";
    return h(
      "a",
      { class: `button step ${side} ${what}`, href: step.href, rel, "aria-label": label, title: label },
      side === "before" ? icon(path) : null,
      h("span", { class: "step-text" }, h("bdi", null, step.text)),
      side === "after" ? icon(path) : null,
    );
  };
  return h(
    "nav",
    { class: "neighbours", "aria-label": `Neighbouring ${many}` },
    link("before", before, "M15 5l-7 7 7 7", "Previous"),
    link("after", after, "M9 5l7 7-7 7", "Next"),
  );
}
