import { expect, test } from "vitest";
import { strongest } from "../../src/strongest.ts";

const P = [0.1, 0.4, 0, 0.3, 0.2];

test("few classes have a bar each", () => {
  expect(strongest(P, [1, 0, 0, 0, 0], 5)).toEqual([0, 1, 2, 3, 4]);
});

test("of many the most probable have one, and what is asked for", () => {
  expect(strongest(P, [0, 0, 1, 0, 0], 3)).toEqual([1, 2, 3]);
});

test("where nearly all are asked for, the most probable have one", () => {
  expect(strongest([...P, 0], [1, 1, 1, 0, 1, 1], 3)).toEqual([1, 3, 4]);
});

test("weights are read once, however many classes there are", () => {
  let reads = 0;
  const weights = new Proxy(Array<number>(500).fill(1), {
    get: (target, key) => {
      reads += 1;
      return Reflect.get(target, key);
    },
  });
  strongest(
    Array.from({ length: 500 }, (_, k) => (k * 37) % 500),
    weights,
    12,
  );
  expect(reads).toBeLessThan(5 * 500);
});
