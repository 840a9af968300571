/** Where the walk is looked at: a slider over its steps, a button that plays it, and what is shown. */

import { fullColour } from "../pull.ts";
import type { Change, Scene, View } from "../scene.ts";
import { VIEWS } from "../state.ts";
import { element, setAttributes, short } from "./dom.ts";
import { slider } from "./slider.ts";

/** How long all steps take when they are played. */
const MILLISECONDS = 2000;

const SHOWN = {
  x_t: ["The picture", "x_t, what the sampler has"],
  x0: ["Predicted end", "x0, what it would become from here"],
  gradient: ["Classifier’s pull", "the gradient of log p, towards what is asked for"],
} as const;

let views = 0;

export function stepsView(change: Change): View {
  let steps = 0;
  let at: number | null = null;
  const play = player(change, () => ({ from: at ?? 0, steps }));
  const walk = slider({
    label: "Noise to picture: step of the walk",
    caption: "Noise to picture",
    low: 0,
    high: 1,
    step: 1,
    words: (value) => `step ${value} of ${steps}`,
    moved: (value) => {
      play.stop();
      change({ at: value === steps ? null : value });
    },
  });
  const pull = element("p", { class: "about pull" });
  const made = element(
    "div",
    { class: "steps" },
    element("div", { class: "walk" }, play.button, walk.element),
    viewChoice(change),
    pull,
  );
  return {
    element: made,
    draw: (scene) => {
      const { state, guided } = scene;
      ({ steps, at } = state);
      play.of(steps);
      pull.hidden = state.view !== "gradient";
      if (!pull.hidden) pull.replaceChildren(...pullWords(scene));
      // Where the user puts the slider it stays, though the walk may not have come so far.
      const follows = !walk.element.matches(":focus-within, :active");
      walk.show(at ?? (follows ? (guided.at(null)?.step ?? 0) : steps), steps);
      for (const input of made.querySelectorAll<HTMLInputElement>("input[type=radio]")) {
        input.checked = input.value === state.view;
      }
    },
  };
}

/** What the colours of the gradient mean, and how large it is: in black pictures it may be tiny. */
function pullWords(scene: Scene): (Node | string)[] {
  const { state, guided } = scene;
  const sizes = (["guided", "unguided"] as const).map((name) => {
    const track = scene[name];
    const now = track.asked(state.at)?.asked?.largest[state.picture] ?? 0;
    return `${name} ${short(now)}, full colour at ${short(fullColour(track.shown))}`;
  });
  return [
    element("span", { class: "lighter" }, "Orange"),
    " pulls lighter, ",
    element("span", { class: "darker" }, "blue"),
    " darker, black is no pull. Largest in picture ",
    `${state.picture + 1} at step ${guided.asked(state.at)?.step ?? 0}: ${sizes.join("; ")}.`,
  ];
}

/** A button that walks through the steps that are kept, and stops on the last one. */
function player(
  change: Change,
  place: () => { from: number; steps: number },
): { button: HTMLButtonElement; stop: () => void; of: (steps: number) => void } {
  const button = element("button", { type: "button", class: "play" });
  let timer = 0;
  let played = 0;
  const label = () => {
    setAttributes(button, {
      "aria-label": timer > 0 ? "Stop" : "Play all steps",
      "data-on": timer > 0,
    });
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    label();
  };
  const begin = () => {
    let { from: step, steps } = place();
    played = steps;
    change({ at: step });
    timer = setInterval(() => {
      step += 1;
      if (step >= steps) stop();
      change({ at: step < steps ? step : null });
    }, MILLISECONDS / steps);
    label();
  };
  button.addEventListener("click", () => (timer > 0 ? stop() : begin()));
  label();
  // A walk of other steps is no longer the one that is played.
  const of = (steps: number) => {
    if (timer > 0 && steps !== played) stop();
  };
  return { button, stop, of };
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
