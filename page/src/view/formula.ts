/** The step that is shown, as formulas with the numbers of the moment under them. */

import type { Level } from "../levels.ts";
import { strongest } from "../pull.ts";
import type { Scene, View } from "../scene.ts";
import type { Asked, Frame, Sizes } from "../walk.ts";
import { element, math, setAttributes, short } from "./dom.ts";

type Term = string | readonly [symbol: string, value: string];

export function formulaView(): View {
  const about = element("p", { class: "about" });
  const lines = element("div", { class: "formulas" });
  const letters = element("p", { class: "fine" });
  return {
    element: element(
      "section",
      { class: "card" },
      element("h2", {}, "The step in numbers"),
      about,
      lines,
      letters,
      element(
        "p",
        { class: "fine" },
        "Under a picture, a noise or a gradient stands its size: the root mean square of its pixels. Sizes do not add up as the pictures do.",
      ),
    ),
    draw: (scene) => {
      const frame = told(scene);
      if (frame?.asked == null) return;
      const { picture, at } = scene.state;
      const { level, asked } = frame;
      const towards = scene.guided.towards(at) ?? scene.state;
      about.textContent =
        `Picture ${picture + 1}, from step ${frame.step} to ${frame.step + 1} of ${frame.steps}` +
        (at === null && frame !== scene.guided.asked(null)
          ? ", where the classifier pulls hardest (move the step slider for another): "
          : ": ") +
        `t = ${short(level.t ?? 0)} to ` +
        (asked.below.t === null ? "the clean picture" : `t′ = ${short(asked.below.t)}`);
      lines.replaceChildren(
        ...formulas(towards.target, scene.pair.clamp, level, asked, asked.sizes[picture]!),
      );
      letters.replaceChildren(...math(lettersOf(asked, towards.scale)));
    },
  };
}

/** The step that is looked at; of a finished walk the one that shows most, for its last shows least. */
function told({ state, guided }: Scene): Frame | null {
  const { shown } = guided;
  const ended = shown.at(-1)?.asked === null;
  return state.at === null && ended ? strongest(shown, state.picture) : guided.asked(state.at);
}

/** scale: that was asked for. */
function lettersOf({ fresh, scale: used }: Asked, scale: number): string {
  const off = used !== scale ? ", 0 here, for the classifier was not trained at this t" : "";
  const words = `s is the scale${off}; α_t and σ_t are the shares of picture and noise in x_t, `;
  const next = "α_t′ and σ_t′ those after the step";
  return `${words}${next}${fresh > 0 ? "; z is fresh noise, and v its variance, which η sets" : ""}.`;
}

function formulas(
  target: string,
  clamp: boolean,
  { alpha, sigma }: Level,
  { below, fresh, scale }: Asked,
  sizes: Sizes,
): HTMLElement[] {
  const back = Math.sqrt(Math.max(0, below.sigma ** 2 - fresh ** 2));
  const x_t: Term = ["x_t", short(sizes.x_t)];
  const eps: Term = ["ε̃", short(sizes.guidedEps)];
  const x0: Term = ["x̃_0", short(sizes.x0)];
  const sigma_t: Term = ["σ_t", short(sigma)];
  const alpha_t: Term = ["α_t", short(alpha)];
  // What remains of x_t once the picture was brought into its range.
  const rest: Term = clamp ? ["ε̂", short(sizes.stepEps)] : eps;
  return [
    formula("The classifier bends the predicted noise", [
      eps,
      "=",
      ["ε", short(sizes.eps)],
      "−",
      ["s", short(scale)],
      "·",
      sigma_t,
      "·",
      [`∇ log p(${target} | x_t)`, short(sizes.gradient)],
    ]),
    formula(
      clamp
        ? "Without the noise: the predicted end, kept in its range"
        : "Without the noise: the predicted end",
      [x0, "=", "(", x_t, "−", sigma_t, "·", eps, ")", "/", alpha_t],
    ),
    ...(clamp
      ? [
          formula("The noise that then remains", [
            ...[rest, "=", "(", x_t, "−", alpha_t, "·", x0, ")", "/", sigma_t],
          ]),
        ]
      : []),
    formula("A little noise comes back: the next picture", [
      ["x_t′", short(sizes.next)],
      "=",
      ["α_t′", short(below.alpha)],
      "·",
      x0,
      "+",
      [fresh > 0 ? "√(σ_t′² − v)" : "σ_t′", short(back)],
      "·",
      rest,
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
