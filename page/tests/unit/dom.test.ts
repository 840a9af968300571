import { expect, test } from "vitest";
import { percent, short } from "../../src/view/dom.ts";

test.each([
  [0, "<1%"],
  [1e-90, "<1%"],
  [0.0049, "<1%"],
  [0.005, "1%"],
  [0.5, "50%"],
  [0.9949, "99%"],
  [0.995, ">99%"],
  [1, ">99%"],
])("the probability %d reads %s", (p, words) => {
  expect(percent(p)).toBe(words);
});

test("numbers are short, however small", () => {
  expect([0, 0.25, 12.34, 3.14e-19].map(short)).toEqual(["0", "0.25", "12.3", "3.1·10⁻¹⁹"]);
});
