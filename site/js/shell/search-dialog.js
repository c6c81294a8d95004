/** The search dialog: layers, filters and classes of the network, or the comparison, that is open. */
import { closest, h, replace } from "../dom/dom.js";
import { truncate } from "../text/format.js";
import { findMatches } from "../data/search.js";
import { formatRoute } from "../data/route.js";

/** @import { Comparison, Manifest, Route } from "../types.js" */

const KINDS = { layer: "Layers", filter: "Filters", class: "Classes" };

/**
 * @param {object} options
 * @param {() => Route} options.current
 * @param {(route: Route) => Promise<Manifest|Comparison>} options.placeOf the manifest, or the comparison, of a route
 * @param {(hash: string) => void} options.go
 */
export function searchDialog({ current, placeOf, go }) {
  /** @type {Manifest|Comparison|null} */
  let place = null; // what is searched
  const list = h("div", { class: "hits", id: "hits", "aria-live": "polite" });
  const input = h("input", {
    type: "search",
    id: "search-input",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "features.28, 142, tabby cat\u2026",
    "aria-controls": "hits",
    on: { input: () => draw() },
  });
  const dialog = h(
    "dialog",
    { class: "search", "aria-label": "Search" },
    h(
      "div",
      { class: "search-head" },
      h("label", { for: "search-input" }, "Layer, filter or class"),
      h(
        "div",
        { class: "search-row" },
        input,
        h("button", { type: "button", class: "button", on: { click: () => dialog.close() } }, "Close"),
      ),
    ),
    list,
  );
  const links = () => [...list.querySelectorAll("a")];

  function draw() {
    if (!place) return;
    const route = current();
    const hits = findMatches(place, input.value, route.layer);
    const groups = Object.keys(KINDS).map((kind) => ({ kind, some: hits.filter((hit) => hit.kind === kind) }));
    replace(
      list,
      hits.length ? null : h("p", { class: "absent" }, "Nothing by that name."),
      groups.map(({ kind, some }) =>
        some.length
          ? h(
              "section",
              null,
              h("h2", null, KINDS[kind]),
              h(
                "ul",
                null,
                some.map((hit) =>
                  h(
                    "li",
                    null,
                    h(
                      "a",
                      { href: formatRoute({ ...route, show: "image", circuit: false, ...hit.to }), title: hit.label },
                      h("b", null, truncate(hit.label, 60)),
                      " ",
                      h("span", null, truncate(hit.detail, 80)),
                    ),
                  ),
                ),
              ),
            )
          : null,
      ),
    );
  }

  dialog.addEventListener("keydown", (event) => {
    const all = links();
    const at = all.findIndex((link) => link === document.activeElement);
    if (event.key === "ArrowDown") all[Math.min(all.length - 1, at + 1)]?.focus();
    else if (event.key === "ArrowUp") (at <= 0 ? input : all[at - 1]).focus();
    else if (event.key === "Enter" && document.activeElement === input && all.length) {
      go(all[0].getAttribute("href"));
      dialog.close();
    } else return;
    event.preventDefault();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || closest(event, "a")) dialog.close();
  });
  document.body.append(dialog);
  return async () => {
    if (dialog.open) return;
    place = null;
    replace(list);
    input.value = "";
    dialog.showModal();
    input.focus();
    try {
      place = await placeOf(current());
      draw();
    } catch {
      replace(list, h("p", { class: "absent" }, "There is no network to search in."));
    }
  };
}
