/** What replaces a view that could not be read, and what is shown while a view loads. */
import { StoreError } from "../data/store.js";
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
 * @param {() => void} [again] try again
 * @param {{href: string, text: string}|null} [back] a link to another view
 */
export function message(error, again, back) {
  const kind = error instanceof StoreError ? error.kind : null;
  const canRetry = again && !["format", "unknown", "waiting"].includes(kind);
  return h(
    "section",
    { class: "message", role: "alert" },
    h("h1", { class: "message-title", tabindex: "-1" }, kind ? TITLES[kind] : "This view could not be drawn"),
    h("p", null, error.message),
    h(
      "p",
      { class: "actions" },
      canRetry ? h("button", { type: "button", class: "button", on: { click: again } }, "Try again") : null,
      back ? h("a", { class: "button", href: back.href }, back.text) : null,
    ),
  );
}

/**
 * Gray shapes in place of a view that is loading.
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
