import { expect, test } from "vitest";
import { Hold } from "../../src/hold.ts";

/** A field that hears its own events. */
class Field extends EventTarget {
  constructor(readonly type: string) {
    super();
  }

  events(...names: string[]): void {
    for (const name of names) this.dispatchEvent(new Event(name));
  }
}

function held(type = "range"): { field: Field; hold: Hold; released: () => number } {
  const field = new Field(type);
  let count = 0;
  const hold = new Hold(field, () => {
    count += 1;
  });
  return { field, hold, released: () => count };
}

test("a pointer holds a slider until it lets go", () => {
  const { field, hold, released } = held();
  field.events("pointerdown", "input", "input");
  expect(hold.isOn).toBe(true);
  field.events("pointerup", "change");
  expect(hold.isOn).toBe(false);
  expect(released()).toBe(1);
});

test("a key that repeats holds it until it is up", () => {
  const { field, hold, released } = held();
  field.events("keydown", "input", "change", "keydown", "input", "change");
  expect(hold.isOn).toBe(true);
  field.events("keyup");
  expect(hold.isOn).toBe(false);
  expect(released()).toBe(1);
});

test("the slider itself hears of a move when it is already held", () => {
  const { field, hold } = held();
  let seen = false;
  field.addEventListener("input", () => {
    seen = hold.isOn;
  });
  field.events("input");
  expect(seen).toBe(true);
});

test("the focus that goes elsewhere lets go, and a text is never held", () => {
  const { field, hold } = held();
  field.events("keydown", "input", "change", "focusout");
  expect(hold.isOn).toBe(false);
  const text = held("text");
  text.field.events("keydown", "input", "keyup");
  expect(text.hold.isOn).toBe(false);
  expect(text.released()).toBe(0);
});
