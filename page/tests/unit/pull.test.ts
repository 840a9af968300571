import { expect, test } from "vitest";
import { CLEAN } from "../../src/levels.ts";
import { fullColour, strongest } from "../../src/pull.ts";
import type { Frame } from "../../src/walk.ts";

/** A step of one image at the noise `sigma`, whose gradient has this size and largest value. */
function frame(sigma: number, gradient: number): Frame {
  const size = { x_t: 0, eps: 0, guidedEps: 0, stepEps: 0, x0: 0, next: 0, gradient };
  const asked = { below: CLEAN, scale: 1, fresh: 0, largest: [gradient], sizes: [size] };
  const kept = { x0: new Uint8Array(), gradient: new Int8Array(), logP: new Float32Array() };
  const level = { alpha: 1, sigma, t: 1 };
  return { step: 0, steps: 3, level, x_t: new Uint8Array(), asked: { ...asked, ...kept } };
}

const WALK = [frame(0.9, 3), frame(0.5, 1), frame(0.1, 4), frame(0.1, 1)];

test("the noise counts in how hard the classifier pulls", () => {
  expect(strongest(WALK, 0)).toBe(WALK[0]);
});

test("full colour is the largest value of the whole walk", () => {
  expect(fullColour(WALK)).toBe(4);
  expect(fullColour(WALK.toReversed())).toBe(4);
  expect(fullColour([...WALK, frame(0, 0), frame(0, 0)])).toBe(4);
});
