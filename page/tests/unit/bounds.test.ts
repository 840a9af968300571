import { expect, test } from "vitest";
import { keepsFewer, mostSteps } from "../../src/bounds.ts";
import type { Shape } from "../../src/pair.ts";
import { RANGES } from "../../src/state.ts";

function pair(shape: Shape, timesteps = 1000, classes = 10) {
  const table = Array<number>(timesteps).fill(1);
  const names = Array.from({ length: classes }, String);
  return { shape, names, schedule: { alpha: table, sigma: table, between: null } };
}

test("small pictures walk in as many steps as the page offers, or the schedule has", () => {
  expect(mostSteps(pair([1, 28, 28]))).toBe(RANGES.steps.high);
  expect(mostSteps(pair([3, 64, 64], 50))).toBe(50);
  expect(keepsFewer(pair([3, 64, 64], 50))).toBe("");
});

test("the frames of a row of large pictures, or of many classes, stay below 64 MB", () => {
  const large = pair([3, 256, 256]);
  const steps = mostSteps(large);
  expect(4 * 3 * (3 * 256 * 256) * steps).toBeLessThanOrEqual(64e6);
  expect(4 * 3 * (3 * 256 * 256) * (steps + 2)).toBeGreaterThan(64e6);
  expect(mostSteps(pair([1, 8, 8], 1000, 100_000))).toBeLessThan(RANGES.steps.high);
  expect(keepsFewer(large)).toContain(`At most ${steps} steps`);
});

test("the steps that the page begins with are always borne", () => {
  expect(mostSteps(pair([3, 256, 256], 1000, 10_000))).toBeGreaterThanOrEqual(RANGES.steps.usual);
});
