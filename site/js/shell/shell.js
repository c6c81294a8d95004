/** What surrounds every view: the bar at the top, the theme, the link to copy. */
import { h, icon, replace } from "../dom/dom.js";
import { truncate } from "../text/format.js";
import { formatRoute } from "../data/route.js";

const SUN = [
  "M12 8a4 4 0 100 8 4 4 0 000-8z",
  "M12 2.5v2M12 19.5v2M4.2 4.2l1.5 1.5M18.3 18.3l1.5 1.5M2.5 12h2M19.5 12h2M4.2 19.8l1.5-1.5M18.3 5.7l1.5-1.5",
];
const LINK = ["M10 14a4 4 0 006 .4l3-3a4 4 0 00-5.7-5.7l-1.4 1.4", "M14 10a4 4 0 00-6-.4l-3 3a4 4 0 005.7 5.7l1.4-1.4"];
const LENS = ["M11 4a7 7 0 100 14 7 7 0 000-14z", "M16 16l4.5 4.5"];

function dark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function turn() {
  const theme = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("torchlurk-theme", theme);
  } catch {
    // Storage may be forbidden; the choice lasts as long as the page.
  }
}

async function copy(say) {
  try {
    await navigator.clipboard.writeText(location.href);
    say("Link copied.");
  } catch {
    say("The link could not be copied; it is in the address bar.");
  }
}

/**
 * @param {HTMLElement} place
 * @param {{search: () => void}} actions
 */
export function shell(place, { search }) {
  const crumbs = h("ol", { class: "crumbs" });
  const toast = h("p", { class: "toast", role: "status" });
  let timer = 0;
  const say = (text) => {
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
    place,
    h("nav", { "aria-label": "You are here", class: "path" }, crumbs),
    h(
      "div",
      { class: "tools" },
      button("Search (press /)", LENS, search, h("kbd", { "aria-hidden": "true" }, "/")),
      button("Copy the link to this view", LINK, () => copy(say)),
      button("Light or dark", SUN, turn),
    ),
    toast,
  );
  return {
    say,
    /** Show where we are: the network or the comparison, and what lies below it. */
    show(route, title, parts) {
      const all = [
        {
          text: title ?? route.network ?? "",
          href: formatRoute({ network: route.network, comparison: route.comparison }),
        },
        ...parts,
      ];
      replace(
        crumbs,
        // A layer's name, which differs from others at its end, comes cut as it should be.
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
