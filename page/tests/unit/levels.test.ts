import { expect, test } from "vitest";
import { CLEAN, levels, walked } from "../../src/levels.ts";
import { told, vectors } from "./vectors.ts";

test("the levels are those of Python's DDIM, of any schedule", () => {
  for (const { walks, ...schedule } of vectors.levels) {
    for (const { steps, timesteps, levels: theirs } of walks) {
      expectLevels(levels(schedule, steps, timesteps ?? undefined), theirs.map(told));
    }
  }
});

test("an edit walks the least noisy timesteps, as in Python", () => {
  for (const { edit, ...schedule } of vectors.levels) {
    const timesteps = walked(0.35, schedule.alpha.length);
    expectLevels(levels(schedule, 7, timesteps), edit.map(told));
  }
});

test("a share of the timesteps is rounded as in Python, halves to even", () => {
  for (const [strength, all, theirs] of vectors.walked) expect(walked(strength, all)).toBe(theirs);
  expect(walked(0.25, 10)).toBe(2);
  expect(walked(0.35, 10)).toBe(4);
});

test("the walk ends at the clean level", () => {
  expect(levels({ alpha: [1, 0.5], sigma: [0.1, 0.8], between: null }, 2).at(-1)).toEqual(CLEAN);
});

function expectLevels(ours: ReturnType<typeof levels>, theirs: ReturnType<typeof levels>): void {
  expect(ours.length).toBe(theirs.length);
  ours.forEach(({ alpha, sigma, t }, i) => {
    expect(Math.abs(alpha / theirs[i]!.alpha - 1)).toBeLessThan(1e-10);
    expect(Math.abs(sigma - theirs[i]!.sigma)).toBeLessThan(1e-10 * (1 + theirs[i]!.sigma));
    expect(t).toBe(theirs[i]!.t);
  });
}
