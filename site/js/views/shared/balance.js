/** The score of a filter as a sum of excitation, inhibition and the rest. */
import { h } from "../../dom/dom.js";
import { terms } from "../../text/format.js";

/** @import { Circuit } from "../../types.js" */

/**
 * The sum as a sentence.
 * @param {Circuit} circuit
 */
export function balanceSum({ score, excitation, inhibition, rest }) {
  const [total, positive, negative, other] = terms([score, excitation, inhibition, rest]);
  const term = (tone, text) => h("span", { class: `balance-term ${tone}` }, text);
  return h(
    "p",
    { class: "balance-sum" },
    h("b", null, score < 0 ? "\u2212" : "", total),
    " = ",
    term("exciting", `${positive} excitation`),
    " \u2212 ",
    term("inhibiting", `${negative} inhibition`),
    rest < 0 ? " \u2212 " : " + ",
    term("rest", `${other} rest`),
  );
}

/**
 * The sum as a sentence, and as bars on one scale.
 * @param {Circuit} circuit
 */
export function balance(circuit) {
  const { score, excitation, inhibition } = circuit;
  const [least, most] = [Math.min(0, score, excitation + inhibition), Math.max(0, score, excitation)];
  const share = (value) => `${(value / (most - least || 1)) * 100}%`;
  const bar = (tone, from, to) =>
    h("span", {
      class: `balance-bar ${tone}`,
      style: { left: share(Math.min(from, to) - least), width: share(Math.abs(to - from)) },
    });
  return h(
    "div",
    { class: "balance" },
    balanceSum(circuit),
    h(
      "div",
      { class: "balance-bars", "aria-hidden": "true" },
      h("span", { class: "balance-row" }, bar("exciting", 0, excitation)),
      h(
        "span",
        { class: "balance-row" },
        bar("inhibiting", excitation + inhibition, excitation),
        bar("rest", excitation + inhibition, score),
      ),
      h("span", { class: "balance-score", style: { left: share(score - least) } }),
    ),
  );
}
