/** What the classifier says at a step: a bar for p(y | x_t) of every class, and unguided beside it. */

import type { Scene, View } from "../scene.ts";
import { strongest } from "../strongest.ts";
import type { Track } from "../track.ts";
import { element, legend, math, percent, setAttributes, short, withShare } from "./dom.ts";

const MOST_BARS = 12;

export function barsView(): View {
  const about = element("p", { class: "about" });
  const chart = element("div", { class: "bars", role: "img" });
  return {
    element: element(
      "section",
      { class: "card" },
      element("h2", {}, "What the classifier sees"),
      about,
      legend(),
      chart,
    ),
    draw: (scene) => {
      const { state, pair, weights } = scene;
      const frame = scene.guided.asked(state.at);
      const guided = probabilities(scene, scene.guided);
      const unguided = probabilities(scene, scene.unguided);
      const t = short(frame?.level.t ?? 0);
      about.replaceChildren(
        ...math("p(y | x_t)"),
        ` of picture ${state.picture + 1} at step ${frame?.step ?? 0}, t = ${t}`,
      );
      const shown = strongest(guided, weights, MOST_BARS);
      chart.replaceChildren(
        ...shown.map((k) => bar(pair.names[k]!, guided[k]!, unguided[k]!, weights[k]! > 0)),
      );
      const said = (p: readonly number[]) =>
        shown.map((k) => `${pair.names[k]} ${percent(p[k]!)}`).join(", ");
      setAttributes(chart, {
        "aria-label": `Guided: ${said(guided)}. Unguided: ${said(unguided)}`,
      });
    },
  };
}

function bar(name: string, guided: number, unguided: number, wanted: boolean): HTMLElement {
  return element(
    "div",
    { class: "bar", "data-wanted": wanted, "data-p": guided.toFixed(4) },
    element("span", { class: "value guided" }, value(guided)),
    element("span", { class: "value unguided" }, value(unguided)),
    element(
      "span",
      { class: "columns" },
      withShare(element("span", { class: "column guided" }), guided),
      withShare(element("span", { class: "column unguided" }), unguided),
    ),
    element("span", { class: "name" }, name),
  );
}

/** Nothing where hardly a bar is. */
function value(p: number): string {
  return p < 0.005 ? "" : percent(p);
}

/** p of every class for the chosen picture; 0 before anything was asked. */
function probabilities({ state, pair }: Scene, track: Track): number[] {
  const logP = track.asked(state.at)?.asked?.logP;
  const classes = pair.names.length;
  return pair.names.map((_, k) =>
    logP === undefined ? 0 : Math.exp(logP[state.picture * classes + k]!),
  );
}
