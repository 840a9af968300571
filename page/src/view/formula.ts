/** The step that is shown, as formulas with the numbers of the moment under them. */

import type { Scene, View } from "../scene.ts";
import type { Asked, Sizes } from "../walk.ts";
import { element, math, setAttributes, short } from "./dom.ts";

type Term = string | readonly [symbol: string, value: string];

export function formulaView(): View {
  const about = element("p", { class: "about" });
  const lines = element("div", { class: "formulas" });
  return {
    element: element(
      "section",
      { class: "card" },
      element("h2", {}, "The step in numbers"),
      about,
      lines,
      element(
        "p",
        { class: "fine" },
        "Under a picture, a noise or a gradient stands its size: the root mean square of its pixels.",
      ),
    ),
    draw: (scene) => {
      const frame = scene.guided.asked(scene.state.at);
      if (frame?.asked == null) return;
      const { picture } = scene.state;
      about.textContent =
        `Picture ${picture + 1}, from step ${frame.step} to ${frame.step + 1} of ${frame.steps}, ` +
        `t = ${short(frame.level.t ?? 0)} to ` +
        (frame.asked.below.t === null ? "the clean picture" : `t = ${short(frame.asked.below.t)}`);
      const { alpha, sigma } = frame.level;
      lines.replaceChildren(
        ...formulas(scene, frame.asked, { alpha, sigma }, frame.asked.sizes[picture]!),
      );
    },
  };
}

function formulas(
  { state, pair }: Scene,
  { below, fresh }: Asked,
  { alpha, sigma }: { alpha: number; sigma: number },
  sizes: Sizes,
): HTMLElement[] {
  const back = Math.sqrt(Math.max(0, below.sigma ** 2 - fresh ** 2));
  const x_t: Term = ["x_t", short(sizes.x_t)];
  const eps: Term = ["ε̃", short(sizes.guidedEps)];
  const x0: Term = ["x̃_0", short(sizes.x0)];
  const sigma_t: Term = ["σ_t", short(sigma)];
  return [
    formula("The classifier bends the predicted noise", [
      eps,
      "=",
      ["ε", short(sizes.eps)],
      "−",
      ["s", short(state.scale)],
      "·",
      sigma_t,
      "·",
      [`∇ log p(${state.target} | x_t)`, short(sizes.gradient)],
    ]),
    formula(
      pair.clamp
        ? "Without the noise: the predicted end, kept in its range"
        : "Without the noise: the predicted end",
      [x0, "=", "(", x_t, "−", sigma_t, "·", eps, ")", "/", ["α_t", short(alpha)]],
    ),
    formula("A little noise comes back: the next picture", [
      ["x_s", short(sizes.next)],
      "=",
      ["α_s", short(below.alpha)],
      "·",
      x0,
      "+",
      [fresh > 0 ? "√(σ_s² − v)" : "σ_s", short(back)],
      "·",
      eps,
      ...(fresh > 0 ? (["+", ["√v", short(fresh)], "·", ["z", "1"]] as Term[]) : []),
    ]),
  ];
}

function formula(words: string, terms: readonly Term[]): HTMLElement {
  const spoken = terms
    .map((term) => (typeof term === "string" ? term : `${term[0]} (${term[1]})`))
    .join(" ");
  const line = element("div", { class: "formula", role: "math" }, ...terms.map(shownTerm));
  setAttributes(line, { "aria-label": spoken });
  return element("div", {}, element("p", { class: "fine" }, words), line);
}

function shownTerm(term: Term): HTMLElement {
  if (typeof term === "string") return element("span", { class: "sign" }, term);
  const [symbol, value] = term;
  return element(
    "span",
    { class: "term" },
    element("span", { class: "symbol" }, ...math(symbol)),
    element("span", { class: "number" }, value),
  );
}
