/** What else decides the walk: its steps, its seed, how much fresh noise it adds; and the link. */

import { keepsFewer, mostSteps } from "../bounds.ts";
import type { Change, View } from "../scene.ts";
import { numberIn, RANGES } from "../state.ts";
import { element } from "./dom.ts";
import { checkedField } from "./field.ts";
import { slider } from "./slider.ts";

export function settingsView(change: Change, link: () => string): View {
  const steps = slider({
    label: "Steps: the number of steps",
    caption: "Steps",
    ...RANGES.steps,
    words: String,
    moved: (value) => change({ steps: value, at: null }),
  });
  const few = element("p", { class: "fine few" });
  const eta = slider({
    label: "Fresh noise η: its share in every step",
    caption: "Fresh noise η",
    ...RANGES.eta,
    words: (value) => (value === 0 ? "0, DDIM" : value === 1 ? "1, DDPM" : String(value)),
    moved: (value) => change({ eta: value }),
  });
  const seed = element("input", {
    id: "seed",
    type: "text",
    inputmode: "numeric",
    maxlength: 10,
    "aria-describedby": "seed-said",
  });
  const said = element("p", { id: "seed-said", class: "said", role: "status" });
  const written = checkedField(seed, said, (text) => {
    const value = numberIn(text, RANGES.seed);
    if (value === null)
      return `The seed is a whole number from ${RANGES.seed.low} to ${RANGES.seed.high}.`;
    change({ seed: value });
    return null;
  });
  const other = element("button", { type: "button", class: "tool" }, "Other noise");
  other.addEventListener("click", () => {
    written.reset();
    change({ seed: crypto.getRandomValues(new Uint32Array(1))[0]! % 10_000 });
  });
  return {
    element: element(
      "div",
      { class: "settings" },
      steps.element,
      eta.element,
      element(
        "div",
        { class: "seed" },
        element("label", { for: "seed" }, "Seed"),
        seed,
        other,
        copyButton(link),
      ),
      said,
      few,
    ),
    draw: ({ state, pair }) => {
      steps.show(state.steps, mostSteps(pair));
      few.textContent = keepsFewer(pair);
      eta.show(state.eta);
      written.show(String(state.seed));
    },
  };
}

function copyButton(link: () => string): HTMLButtonElement {
  const button = element(
    "button",
    { type: "button", class: "tool", "aria-live": "polite" },
    "Copy link",
  );
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(link());
      button.textContent = "Copied";
    } catch {
      // Browsers give the clipboard only to pages on https, and only if the user lets them.
      button.textContent = "It is in the address bar";
    }
    setTimeout(() => {
      button.textContent = "Copy link";
    }, 2000);
  });
  return button;
}
