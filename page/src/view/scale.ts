/** How strongly the classifier pulls: the slider that the page is about. */

import type { Change, View } from "../scene.ts";
import { RANGES } from "../state.ts";
import { element, withShare } from "./dom.ts";
import { slider } from "./slider.ts";

const MARKS = [
  [0, ["off"]],
  [1, ["1", element("span", { class: "roomy" }, ", Bayes’ rule")]],
  [5, ["5"]],
  [10, ["10"]],
  [15, ["15"]],
  [20, ["20"]],
] as const;

export function scaleView(change: Change): View {
  const { low, high, step } = RANGES.scale;
  const made = slider({
    label: "How strongly? Scale of the guidance",
    caption: "How strongly?",
    low,
    high,
    step,
    class: "hero",
    words: (value) => `s = ${value}`,
    moved: (scale) => change({ scale }),
  });
  const marks = MARKS.map(([value, words]) =>
    withShare(element("span", { "data-value": value }, ...words), value / high),
  );
  made.element.append(element("div", { class: "marks", "aria-hidden": "true" }, ...marks));
  return { element: made.element, draw: ({ state }) => made.show(state.scale) };
}
