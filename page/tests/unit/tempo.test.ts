import { expect, test } from "vitest";
import { Tempo } from "../../src/tempo.ts";

test("steps are measured, and what passed before the first of a walk is not", () => {
  const tempo = new Tempo();
  expect(tempo.of(20)).toBeNull();
  tempo.told(5000, true);
  expect(tempo.of(20)).toBeNull();
  for (const now of [5030, 5060]) tempo.told(now, false);
  tempo.told(90_000, true);
  tempo.told(90_030, false);
  expect(tempo.of(20)).toBeCloseTo(600, 9);
});

test("two rows that take turns are as quick as one", () => {
  const [one, two] = [new Tempo(), new Tempo()];
  for (let step = 0; step < 20; step++) one.told(10 * step, step === 0);
  for (let step = 0; step < 20; step++) {
    two.told(20 * step, step === 0);
    two.told(20 * step + 10, step === 0);
  }
  expect(two.of(20)).toBeCloseTo(one.of(20)!, 9);
});
