/** The same noise twice: guided above, unguided below. */

import type { Pair } from "../pair.ts";
import { brightness, fullColour } from "../pull.ts";
import type { Change, Scene, View } from "../scene.ts";
import { PICTURES } from "../state.ts";
import { probability } from "../targets.ts";
import type { Track } from "../track.ts";
import { element, math, percent, setAttributes, withShare } from "./dom.ts";
import { blank, paint, paintSigned, pictureCanvas } from "./picture.ts";

const ROWS = [
  ["guided", "Guided"],
  ["unguided", "Unguided"],
] as const;

export function rowsView(pair: Pair, change: Change): View {
  const rows = ROWS.map(([name, title]) => row(pair, name, title, change));
  return {
    element: element("div", { class: "rows" }, ...rows.map((each) => each.element)),
    draw: (scene) => {
      for (const each of rows) each.draw(scene);
    },
  };
}

function row(pair: Pair, name: "guided" | "unguided", title: string, change: Change): View {
  const guided = name === "guided";
  const about = element("span", { class: "about" });
  const what = element("span", { class: "about what" });
  const pictures = Array.from({ length: PICTURES }, (_, index) =>
    picture(pair, name, index, change),
  );
  const made = element(
    "section",
    { class: `row ${name}`, "aria-label": title, "aria-busy": "true" },
    element("header", {}, element("h3", {}, title), about, what),
    element("div", { class: "pictures" }, ...pictures.map((each) => each.element)),
  );
  return {
    element: made,
    draw: (scene) => {
      const { state } = scene;
      // While a slider moves, the pictures are still those of a walk before.
      const { target, scale } = scene[name].towards(state.at) ?? state;
      about.textContent = guided
        ? `towards ${target}, s\u00a0=\u00a0${scale}`
        : "the same noise, s\u00a0=\u00a00";
      what.replaceChildren("p(", state.target, ...math(" | x_t)"));
      setAttributes(made, { "aria-busy": String(scene[name].busy) });
      for (const each of pictures) each.draw(scene);
    },
  };
}

function picture(pair: Pair, name: "guided" | "unguided", index: number, change: Change): View {
  const canvas = pictureCanvas(pair.shape);
  const said = element("span", { class: "p" });
  const bar = element("span", { class: "level", "aria-hidden": "true" });
  const button = element(
    "button",
    { type: "button", class: "tile", "data-row": name, "data-picture": index },
    canvas,
    bar,
    said,
  );
  button.addEventListener("click", () => change({ picture: index }));
  return {
    element: button,
    draw: (scene) => {
      const { state, weights } = scene;
      const track: Track = scene[name];
      show(canvas, track, scene, index);
      const p = asked(track, state.at, weights, index);
      said.textContent = p === null ? "" : percent(p);
      withShare(bar, p ?? 0);
      setAttributes(button, {
        "aria-pressed": String(state.picture === index),
        "aria-label":
          `Picture ${index + 1}, ${name}` +
          (p === null ? "" : `, p of ${state.target} ${percent(p)}; show its numbers`),
        "data-step": track.at(state.at)?.step ?? "",
      });
    },
  };
}

function show(
  canvas: HTMLCanvasElement,
  track: Track,
  { state, pair }: Scene,
  index: number,
): void {
  const { view, at } = state;
  const frame = view === "gradient" ? track.asked(at) : track.at(at);
  if (frame === null) blank(canvas);
  else if (frame.asked === null || view === "x_t") paint(canvas, frame.x_t, pair.shape, index);
  else if (view === "x0") paint(canvas, frame.asked.x0, pair.shape, index);
  else {
    const { gradient, largest } = frame.asked;
    const bright = brightness(largest[index]!, fullColour(track.shown));
    paintSigned(canvas, gradient, pair.shape, index, bright);
  }
}

/** p of the target for picture `index` at step `at`, or at the last level where it was asked. */
export function asked(
  track: Track,
  at: number | null,
  weights: readonly number[],
  index: number,
): number | null {
  const logP = track.asked(at)?.asked?.logP;
  if (logP === undefined) return null;
  const classes = weights.length;
  return probability(logP.subarray(index * classes, (index + 1) * classes), weights);
}
