/** What is said in place when something could not be read, and what is shown while it loads. */
import { h } from "../dom/dom.js";

const TITLES = {
  missing: "A file is missing",
  broken: "A file is damaged",
  format: "This store is newer than the page",
  offline: "No connection",
  unknown: "Nothing here",
  waiting: "Not there yet",
};

/**
 * @param {Error} error
 * @param {() => void} [again]
 * @param {object} [back] `{href, text}`
 */
export function message(error, again, back) {
  const known = error.name === "StoreError";
  const retry = again && error.kind !== "format" && error.kind !== "unknown" && error.kind !== "waiting";
  return h(
    "section",
    { class: "message", role: "alert" },
    h("h1", { class: "message-title", tabindex: "-1" }, known ? TITLES[error.kind] : "This view could not be drawn"),
    h("p", null, error.message),
    h(
      "p",
      { class: "actions" },
      retry ? h("button", { type: "button", class: "button", on: { click: again } }, "Try again") : null,
      back ? h("a", { class: "button", href: back.href }, back.text) : null,
    ),
  );
}

/**
 * Gray shapes in the places of what is coming.
 * @param {number} tiles
 */
export function skeleton(tiles) {
  return h(
    "div",
    { class: "skeleton", "aria-hidden": "true" },
    h("span", { class: "bone title" }),
    h("span", { class: "bone line" }),
    h(
      "div",
      { class: "bones" },
      Array.from({ length: tiles }, () => h("span", { class: "bone tile" })),
    ),
  );
}
