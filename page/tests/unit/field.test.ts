import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { checkedField } from "../../src/view/field.ts";

/** A text field that takes only digits. */
class Field extends EventTarget {
  value = "";
  readonly attributes = new Map<string, string>();
  readonly said = { textContent: "" };
  readonly checked = checkedField(
    this as unknown as HTMLInputElement,
    this.said as unknown as HTMLElement,
    (text) => (/^\d+$/.test(text) ? null : "no number"),
  );

  setAttribute(name: string, value: string): void {
    this.attributes.set(name, value);
  }

  removeAttribute(name: string): void {
    this.attributes.delete(name);
  }

  write(text: string): void {
    this.value = text;
    this.dispatchEvent(new Event("input"));
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("document", { activeElement: null });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("what makes no sense is said once the user rests, and no more once it makes sense", () => {
  const field = new Field();
  field.write("x");
  expect(field.said.textContent).toBe("");
  vi.runAllTimers();
  expect(field.said.textContent).toBe("no number");
  expect(field.attributes.get("aria-invalid")).toBe("true");
  field.write("3");
  expect(field.said.textContent).toBe("");
  expect(field.attributes.has("aria-invalid")).toBe(false);
});

test("what makes no sense stands there with its sentence, until something else is shown", () => {
  const field = new Field();
  field.checked.show("3");
  field.write("x");
  vi.runAllTimers();
  field.checked.show("3");
  expect([field.value, field.said.textContent]).toEqual(["x", "no number"]);
  field.checked.show("4");
  expect([field.value, field.said.textContent]).toEqual(["4", ""]);
});

test("a field that the user writes in is left alone", () => {
  const field = new Field();
  vi.stubGlobal("document", { activeElement: field });
  field.write("30");
  field.checked.show("3");
  expect(field.value).toBe("30");
});
