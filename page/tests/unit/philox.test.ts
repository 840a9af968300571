import { expect, test } from "vitest";
import { philox, SeededNoise } from "../../src/philox.ts";
import { difference, vectors } from "./vectors.ts";

test("the words are those of Python", () => {
  for (const { counter, key, words } of vectors.philox) {
    expect(philox(counter, key)).toEqual(words);
  }
});

test("the words are those that the authors of Philox published", () => {
  const published = [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8];
  expect(philox([0, 0, 0, 0], [0, 0])).toEqual(published);
});

test("the noise of each draw is Python's to the last bits of float32", () => {
  for (const { seed, index, size, draws } of vectors.noise) {
    const noise = new SeededNoise(seed, index, size);
    for (const draw of draws) expect(difference(noise.next(), draw)).toBeLessThan(1e-6);
  }
});

test("an image's noise does not depend on those beside it", () => {
  const beside = new SeededNoise(5, [0, 1, 2], 10).next();
  expect(new SeededNoise(5, [2], 10).next()).toEqual(beside.slice(20));
});
