import { expect, test } from "vitest";
import { colours, signedColours } from "../../src/colours.ts";

test("one channel is grey, of the image that is asked for", () => {
  const bytes = Uint8Array.of(1, 2, 30, 40);
  expect([...colours(bytes, [1, 1, 2], 1)]).toEqual([30, 30, 30, 255, 40, 40, 40, 255]);
});

test("three channels are red, green and blue", () => {
  const bytes = Uint8Array.of(0, 0, 0, 0, 0, 0, 10, 11, 20, 21, 30, 31);
  expect([...colours(bytes, [3, 1, 2], 1)]).toEqual([10, 20, 30, 255, 11, 21, 31, 255]);
});

test("a gradient is blue where it is negative, orange where positive, dark where there is none", () => {
  const signed = Int8Array.of(-127, 0, 127);
  expect([...signedColours(signed, [1, 1, 3], 0, 1)]).toEqual([
    ...[72, 149, 239, 255],
    ...[22, 22, 26, 255],
    ...[255, 140, 66, 255],
  ]);
});

test("a weak gradient is as bright as its share of the full colour", () => {
  const signed = Int8Array.of(0, 0, 127, -127);
  expect([...signedColours(signed, [1, 1, 2], 1, 0.5)]).toEqual([
    ...[138, 81, 46, 255],
    ...[47, 86, 132, 255],
  ]);
  expect([...signedColours(signed, [1, 1, 2], 1, 0)].slice(0, 4)).toEqual([22, 22, 26, 255]);
});

test("of a gradient in three channels their mean is shown", () => {
  const signed = Int8Array.of(127, 127, -127);
  expect([...signedColours(signed, [3, 1, 1], 0, 1)]).toEqual([100, 61, 39, 255]);
});
