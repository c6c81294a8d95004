/** The bar at the top of every view: where the visitor is, search, theme, the link to copy. */
import { h, icon, replace } from "../dom/dom.js";
import { truncate } from "../text/format.js";
import { formatRoute } from "../data/route.js";

/** @import { Route } from "../types.js" */

const SUN = [
  "M12 8a4 4 0 100 8 4 4 0 000-8z",
  "M12 2.5v2M12 19.5v2M4.2 4.2l1.5 1.5M18.3 18.3l1.5 1.5M2.5 12h2M19.5 12h2M4.2 19.8l1.5-1.5M18.3 5.7l1.5-1.5",
];
const LINK = ["M10 14a4 4 0 006 .4l3-3a4 4 0 00-5.7-5.7l-1.4 1.4", "M14 10a4 4 0 00-6-.4l-3 3a4 4 0 005.7 5.7l1.4-1.4"];
const LENS = ["M11 4a7 7 0 100 14 7 7 0 000-14z", "M16 16l4.5 4.5"];

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("torchlurk-theme", theme);
  } catch {
    // Storage may be blocked; the choice lasts as long as the page.
  }
}

async function copyLink(report) {
  try {
    await navigator.clipboard.writeText(location.href);
    report("Link copied.");
  } catch {
    report("The link could not be copied; it is in the address bar.");
  }
}

/**
 * @param {HTMLElement} container
 * @param {{search: () => void}} actions
 */
export function shell(container, { search }) {
  const crumbs = h("ol", { class: "crumbs" });
  const toast = h("p", { class: "toast", role: "status" });
  let timer = 0;
  const toastText = (text) => {
    clearTimeout(timer);
    toast.textContent = text;
    toast.classList.add("on");
    timer = setTimeout(() => toast.classList.remove("on"), 2500);
  };
  const button = (label, paths, click, extra) =>
    h(
      "button",
      { type: "button", class: "icon-button", "aria-label": label, title: label, on: { click } },
      icon(...paths),
      extra,
    );
  replace(
    container,
    h("nav", { "aria-label": "You are here", class: "path" }, crumbs),
    h(
      "div",
      { class: "tools" },
      button("Search (press /)", LENS, search, h("kbd", { "aria-hidden": "true" }, "/")),
      button("Copy the link to this view", LINK, () => copyLink(toastText)),
      button("Light or dark", SUN, toggleTheme),
    ),
    toast,
  );
  return {
    /**
     * Show where the visitor is.
     * @param {Route} route
     * @param {string|undefined} title of the network or the comparison
     * @param {import("../types.js").View["crumbs"]} parts below it
     */
    show(route, title, parts) {
      /** @type {import("../types.js").View["crumbs"]} */
      const all = [
        {
          text: title ?? route.network ?? "",
          href: formatRoute({ network: route.network, comparison: route.comparison }),
        },
        ...parts,
      ];
      replace(
        crumbs,
        // Names of layers differ at their end: they come truncated at their start.
        all.map(({ text, short, href }, i) =>
          h(
            "li",
            null,
            h(
              "a",
              {
                href,
                title: text,
                class: short ? "by-end" : null,
                "aria-current": i === all.length - 1 ? "page" : null,
              },
              h("bdi", null, short ?? truncate(text, 32)),
            ),
          ),
        ),
      );
    },
  };
}
