/** A text field that takes at once what makes sense, and says what does not once the user rests. */

import { setAttributes } from "./dom.ts";

const REST_MILLISECONDS = 700;

export interface CheckedField {
  /** Show `text`, unless the user writes here, or wrote what made no sense and did nothing since. */
  readonly show: (text: string) => void;
  /** Forget what the user wrote. */
  readonly reset: () => void;
}

/** take: takes a text and returns null, or a sentence on what is wrong with it. */
export function checkedField(
  field: HTMLInputElement,
  said: HTMLElement,
  take: (text: string) => string | null,
): CheckedField {
  let wrong: string | null = null;
  let shown = "";
  let rest: ReturnType<typeof setTimeout> | undefined;
  const say = () => {
    clearTimeout(rest);
    said.textContent = wrong ?? "";
    setAttributes(field, { "aria-invalid": wrong === null ? false : "true" });
  };
  const reset = () => {
    wrong = null;
    say();
  };
  field.addEventListener("input", () => {
    wrong = take(field.value);
    clearTimeout(rest);
    if (wrong === null) say();
    else rest = setTimeout(say, REST_MILLISECONDS);
  });
  // With Enter, and when the user goes elsewhere.
  field.addEventListener("change", say);
  return {
    show: (text) => {
      const kept = document.activeElement === field || (wrong !== null && text === shown);
      shown = text;
      if (kept) return;
      field.value = text;
      reset();
    },
    reset,
  };
}
