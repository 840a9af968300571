/** Draw, noise it part of the way, and let it come back as what is asked for. */

import { Drawing } from "../drawing.ts";
import type { Pair } from "../pair.ts";
import type { Change, View } from "../scene.ts";
import { PICTURES, RANGES } from "../state.ts";
import type { Frame } from "../walk.ts";
import { classesView } from "./classes.ts";
import { element, setAttributes } from "./dom.ts";
import { pen } from "./pen.ts";
import { paint, pictureCanvas } from "./picture.ts";
import { slider } from "./slider.ts";

export interface EditView extends View {
  readonly drawing: Drawing;
  /** Whether a walk of the drawing goes on. */
  readonly busy: boolean;
  /** Something newer is asked for than what is shown. */
  readonly wait: () => void;
  /** Show where the walk of the drawing has come to. towards: what it was asked for. */
  readonly show: (frame: Frame, towards: string) => void;
  readonly finish: () => void;
}

/** redraw: called when the drawing changed. sample: the chosen picture's bytes, if it is finished. */
export function editView(
  pair: Pair,
  change: Change,
  redraw: () => void,
  sample: () => Uint8Array | null,
): EditView {
  const drawing = new Drawing(pair.shape);
  example(drawing);
  const field = pen(pair.shape, drawing, redraw);
  field.draw();
  const replaced = () => {
    field.draw();
    redraw();
  };
  const strength = slider({
    label: "How far to noise: the strength of the change",
    caption: "How far to noise",
    ...RANGES.strength,
    words: (value) => `${Math.round(100 * value)}%`,
    moved: (value) => change({ strength: value }),
  });
  const classes = classesView(pair, change);
  const noised = pictureCanvas(pair.shape);
  const ends = Array.from({ length: PICTURES }, () => pictureCanvas(pair.shape));
  const about = element("span", { class: "about" });
  const results = element(
    "div",
    { class: "pictures", role: "img", "aria-label": "The drawing, changed, with four noises" },
    ...ends.map((canvas) => element("span", { class: "tile" }, canvas)),
  );
  const take = tool("Take the chosen picture", () => {
    const picture = sample();
    if (picture !== null) drawing.put(picture);
    replaced();
  });
  const made = element(
    "section",
    { class: "card wide edit", "aria-label": "Draw and change", "aria-busy": "false" },
    element("h2", {}, "Draw, and turn it into something else"),
    element(
      "p",
      { class: "about" },
      "Your drawing is drowned in noise part of the way, and comes back pulled towards the class.",
    ),
    element(
      "div",
      { class: "edit-parts" },
      element(
        "div",
        { class: "draw" },
        field.element,
        element(
          "div",
          { class: "tools" },
          tool("Clear", () => {
            drawing.clear();
            replaced();
          }),
          take,
        ),
      ),
      element(
        "div",
        { class: "changes" },
        classes.element,
        strength.element,
        element(
          "div",
          { class: "way" },
          element("figure", { class: "noised" }, noised, element("figcaption", {}, "noised")),
          element("div", { class: "arrow", "aria-hidden": "true" }, "→"),
          element("div", { class: "back" }, element("h3", {}, "Back again ", about), results),
        ),
      ),
    ),
  );
  return {
    element: made,
    drawing,
    get busy() {
      return made.getAttribute("aria-busy") === "true";
    },
    draw: (scene) => {
      classes.draw(scene);
      strength.show(scene.state.strength);
      take.disabled = sample() === null;
    },
    wait: () => setAttributes(made, { "aria-busy": "true", "data-waits": true }),
    show: (frame, towards) => {
      setAttributes(made, { "aria-busy": "true", "data-waits": false, "data-step": frame.step });
      about.textContent = towards;
      if (frame.step === 0) paint(noised, frame.x_t, pair.shape, 0);
      ends.forEach((canvas, i) => {
        paint(canvas, frame.x_t, pair.shape, i);
      });
    },
    finish: () => setAttributes(made, { "aria-busy": "false", "data-waits": false }),
  };
}

function tool(words: string, act: () => void): HTMLButtonElement {
  const button = element("button", { type: "button", class: "tool" }, words);
  button.addEventListener("click", act);
  return button;
}

/** Something to begin with: a seven. */
function example(drawing: Drawing): void {
  const corners = [
    { x: 0.25, y: 0.12 },
    { x: 0.75, y: 0.12 },
    { x: 0.45, y: 0.9 },
  ];
  corners.slice(1).forEach((to, i) => {
    drawing.stroke(corners[i]!, to);
  });
}
