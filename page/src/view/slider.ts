/** A labelled slider with its value beside it. */

import { element, setAttributes, withShare } from "./dom.ts";

export interface SliderOptions {
  readonly label: string;
  /** What the eye reads, which the label begins with. */
  readonly caption: Node | string;
  readonly low: number;
  readonly high: number;
  readonly step: number;
  readonly class?: string;
  /** The value in words. */
  readonly words: (value: number) => string;
  /** With every move. */
  readonly moved: (value: number) => void;
}

export interface Slider {
  readonly element: HTMLElement;
  readonly show: (value: number, high?: number) => void;
}

let sliders = 0;

export function slider(options: SliderOptions): Slider {
  const id = `slider-${++sliders}`;
  const input = element("input", {
    id,
    type: "range",
    min: options.low,
    max: options.high,
    step: options.step,
    "aria-label": options.label,
  });
  const output = element("output", { for: id });
  const tell = () => {
    const [low, high, value] = [Number(input.min), Number(input.max), Number(input.value)];
    output.textContent = options.words(value);
    setAttributes(input, { "aria-valuetext": options.words(value) });
    withShare(input, high > low ? (value - low) / (high - low) : 0);
  };
  input.addEventListener("input", () => {
    tell();
    options.moved(Number(input.value));
  });
  return {
    element: element(
      "div",
      { class: `slider ${options.class ?? ""}` },
      element("div", { class: "words" }, element("label", { for: id }, options.caption), output),
      input,
    ),
    show: (value, high = options.high) => {
      input.max = String(high);
      input.value = String(value);
      tell();
    },
  };
}
