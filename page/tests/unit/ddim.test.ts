import { expect, test } from "vitest";
import { clamped, ddim } from "../../src/ddim.ts";
import { difference, told, vectors } from "./vectors.ts";

test("a clamped step is that of Python, for every eta and schedule", () => {
  for (const { levels, eta, x_t, x0, eps, z, below } of vectors.ddim) {
    const [level, next] = levels.map(told) as [ReturnType<typeof told>, ReturnType<typeof told>];
    const raw = { x0: Float32Array.from(x0), eps: Float32Array.from(eps) };
    const prediction = clamped(Float32Array.from(x_t), raw, level);
    const ours = ddim(prediction, level, next, eta, () => Float32Array.from(z));
    const largest = Math.max(...below.map(Math.abs));
    expect(difference(ours, below)).toBeLessThan(2e-6 * (1 + largest));
  }
});

test("eta 0 asks for no noise, and neither does the last step", () => {
  const prediction = { x0: Float32Array.of(0.5), eps: Float32Array.of(-1) };
  const never = () => {
    throw new Error("asked for noise");
  };
  const [level, below] = [
    { alpha: 0.6, sigma: 0.8, t: 9 },
    { alpha: 0.8, sigma: 0.6, t: 4 },
  ];
  expect(ddim(prediction, level, below, 0, never)[0]).toBeCloseTo(-0.2, 6);
  const clean = { alpha: 1, sigma: 0, t: null };
  expect(ddim(prediction, level, clean, 1, never)[0]).toBeCloseTo(0.5, 6);
});
