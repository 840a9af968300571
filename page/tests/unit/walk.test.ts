import { expect, test } from "vitest";
import { CLEAN, type Level } from "../../src/levels.ts";
import type { Guided } from "../../src/model.ts";
import type { Pair } from "../../src/pair.ts";
import { SeededNoise } from "../../src/philox.ts";
import { brightness, fullColour, strongest } from "../../src/pull.ts";
import { type Frame, frames } from "../../src/walk.ts";

const LEVELS: Level[] = [{ alpha: 0.6, sigma: 0.8, t: 9 }, { alpha: 0.8, sigma: 0.6, t: 4 }, CLEAN];
const PAIR: Pair = {
  model: { file: "pair.onnx", sha256: "", bytes: 1 },
  shape: [1, 1, 2],
  names: ["dark", "light"],
  shares: null,
  schedule: { alpha: [0.8, 0.6], sigma: [0.6, 0.8], between: null },
  classifier: { covers: [0, 9], schedule: null },
  conditional: false,
  clamp: true,
};

/** Two images that are predicted at 3, out of range, with a pull that grows, and shrinks. */
async function run(x: Float32Array, level: Level, _: unknown, scale: number): Promise<Guided> {
  const x0 = x.map(() => 3);
  const eps = x.map((value) => (value - level.alpha * 3) / level.sigma);
  const [first, second] = level.t === 9 ? [0.5, 2e-21] : [-1, 1e-21];
  const gradient = Float32Array.of(first!, first! / 2, second!, second!);
  const logP = Float32Array.of(-1, -0.5, -1, -0.5);
  // The classifier covers only the lower level.
  const used = level.t === 4 ? scale : 0;
  return { guided: { x0, eps }, unguided: { x0, eps }, logP, gradient, scale: used };
}

async function walked(): Promise<Frame[]> {
  const made = frames(
    { pair: PAIR, run },
    {
      start: Float32Array.of(1, 1, 1, 1),
      levels: LEVELS,
      noise: new SeededNoise(0, [0, 1], 2),
      weights: [0, 1],
      scale: 2,
      eta: 0,
    },
  );
  const all: Frame[] = [];
  for await (const frame of made) all.push(frame);
  return all;
}

test("the noise of the step is what remains beside the picture in its range", async () => {
  const [{ asked }] = (await walked()) as [Frame];
  const sizes = asked!.sizes[0]!;
  expect(sizes.guidedEps).toBeCloseTo(1, 6);
  expect(sizes.x0).toBeCloseTo(1, 6);
  expect(sizes.stepEps).toBeCloseTo((1 - 0.6) / 0.8, 6);
  expect(sizes.next).toBeCloseTo(0.8 * 1 + 0.6 * sizes.stepEps, 6);
});

test("each step says the scale that was used in it", async () => {
  expect((await walked()).map(({ asked }) => asked?.scale)).toEqual([0, 2, undefined]);
});

test("one scale colours the gradients of a whole walk", async () => {
  const all = await walked();
  expect(all.map(({ asked }) => asked?.largest[0])).toEqual([0.5, 1, undefined]);
  const full = fullColour(all);
  expect(full).toBe(1);
  const bright = (step: number, index: number) =>
    brightness(all[step]!.asked!.largest[index]!, full);
  expect(bright(0, 0)).toBeCloseTo(Math.sqrt(0.5), 6);
  expect(bright(1, 0)).toBe(1);
  expect(bright(1, 1)).toBeLessThan(1e-6);
});

test("without any pull all is dark, and of no steps none is the strongest", async () => {
  const all = await walked();
  expect(fullColour([all[2]!])).toBe(0);
  expect(brightness(0, 0)).toBe(0);
  expect(strongest([], 0)).toBeNull();
});

test("the strongest step is that whose pull bends the noise most", async () => {
  const all = await walked();
  expect(strongest(all, 0)?.step).toBe(1);
  expect(strongest(all, 1)?.step).toBe(0);
});

test.each([
  [0, "the model itself fails"],
  [3, "try a smaller scale"],
])("pictures that are not finite at scale %d say what helps", async (scale, words) => {
  const nothing = Float32Array.of(Number.NaN, Number.NaN);
  const both = { x0: nothing, eps: nothing };
  const model = {
    pair: PAIR,
    run: async () => ({ guided: both, unguided: both, logP: nothing, gradient: nothing, scale }),
  };
  const walk = frames(model, {
    start: Float32Array.of(1, 1),
    levels: LEVELS,
    noise: new SeededNoise(0, [0], 2),
    weights: [0, 1],
    scale,
    eta: 0,
  });
  await expect(walk.next()).rejects.toThrow(words);
});
