/** Where the walk is looked at: a slider over its steps, a button that plays it, and what is shown. */

import type { Change, View } from "../scene.ts";
import { VIEWS } from "../state.ts";
import { element, setAttributes } from "./dom.ts";
import { slider } from "./slider.ts";

/** How long all steps take when they are played. */
const MILLISECONDS = 2000;

const SHOWN = {
  x_t: ["The picture", "x_t, what the sampler has"],
  x0: ["Predicted end", "x0, what it would become from here"],
  gradient: ["Classifier’s pull", "the gradient of log p: orange would be lighter, blue darker"],
} as const;

let views = 0;

export function stepsView(change: Change): View {
  let steps = 0;
  let at: number | null = null;
  const walk = slider({
    label: "Step of the walk from noise to picture",
    caption: "Noise to picture",
    low: 0,
    high: 1,
    step: 1,
    words: (value) => `step ${value} of ${steps}`,
    moved: (value) => change({ at: value === steps ? null : value }),
  });
  const play = playButton(
    () => steps,
    () => at,
    change,
  );
  const made = element(
    "div",
    { class: "steps" },
    element("div", { class: "walk" }, play, walk.element),
    viewChoice(change),
  );
  return {
    element: made,
    draw: ({ state, guided }) => {
      ({ steps, at } = state);
      walk.show(guided.at(at)?.step ?? 0, steps);
      for (const input of made.querySelectorAll<HTMLInputElement>("input[type=radio]")) {
        input.checked = input.value === state.view;
      }
    },
  };
}

function playButton(
  steps: () => number,
  at: () => number | null,
  change: Change,
): HTMLButtonElement {
  const button = element("button", { type: "button", class: "play" });
  let timer = 0;
  const label = () => {
    setAttributes(button, {
      "aria-label": timer ? "Stop" : "Play all steps",
      "data-on": timer > 0,
    });
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    label();
  };
  button.addEventListener("click", () => {
    if (timer > 0) return stop();
    let step = at() ?? 0;
    change({ at: step });
    timer = setInterval(() => {
      // The user took the slider, or another walk ended this one.
      if (at() !== step) return stop();
      step += 1;
      change({ at: step < steps() ? step : null });
      if (step >= steps()) stop();
    }, MILLISECONDS / steps());
    label();
  });
  label();
  return button;
}

function viewChoice(change: Change): HTMLElement {
  const name = `view-${++views}`;
  const choices = VIEWS.map((view) => {
    const input = element("input", { type: "radio", name, value: view });
    input.addEventListener("change", () => change({ view }));
    return element("label", { title: SHOWN[view][1] }, input, element("span", {}, SHOWN[view][0]));
  });
  return element("fieldset", { class: "choice" }, element("legend", {}, "Show"), ...choices);
}
