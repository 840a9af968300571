import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  asking,
  parseTarget,
  probability,
  quoted,
  TargetError,
  targetReader,
} from "../../src/targets.ts";
import { vectors } from "./vectors.ts";

describe.each(vectors.targets)("of the classes $names", ({ names, shares, meant }) => {
  test.each(Object.entries(meant))("%j means what it means in Python", (word, theirs) => {
    if (theirs === null) {
      expect(() => parseTarget(word, { names, shares })).toThrow(TargetError);
    } else {
      expect(parseTarget(word, { names, shares })).toEqual(theirs);
    }
  });

  test("every name, quoted where it needs it, means itself", () => {
    names.forEach((name, k) => {
      expect(parseTarget(quoted(name), { names, shares })[k]).toBe(1);
    });
  });
});

test("a class that is not there is named, and those that are", () => {
  const classes = { names: ["cat", "dog"], shares: null };
  expect(() => parseTarget("cow", classes)).toThrow(
    "There is no class cow; the classes are cat, dog",
  );
});

test("the probability is that of all classes that were asked for", () => {
  const logP = [0.5, 0.3, 0.2].map(Math.log);
  expect(probability(logP, [1, 0, 1])).toBeCloseTo(0.7, 9);
});

test("a target is as long as 100 signs, or the longest name", () => {
  const classes = { names: ["cat", "a".repeat(200)], shares: null };
  expect(parseTarget("a".repeat(200), classes)).toEqual([0, 1]);
  expect(() => parseTarget("a".repeat(201), classes)).toThrow("signs; wanted at most 200.");
  const few = { names: ["cat", "dog"], shares: null };
  expect(() => parseTarget("cat|".repeat(26), few)).toThrow("has 104 signs; wanted at most 100.");
});

test.each([
  ["!", "No class follows the !; wanted one, as in !3."],
  [`cat|${" ".repeat(80)}|cat`, "lacks a class"],
  [`!cat|${" ".repeat(80)}dog|cat`, "leaves none of the 2 classes"],
  [`0*cat+${" ".repeat(80)}0*dog`, "has no proportion above 0"],
  [`cat+${" ".repeat(80)}+dog`, "lacks a class"],
])("%j is refused in a short sentence", (word, words) => {
  const refused = () => parseTarget(word, { names: ["cat", "dog"], shares: null });
  expect(refused).toThrow(words);
  expect(refused).toThrow(/^.{1,115}$/);
});

test("a target is read once, until it changes", () => {
  const read = targetReader({ names: ["cat", "dog"], shares: null });
  const weights = read("cat");
  expect(read("cat")).toBe(weights);
  expect(read("!cat")).toEqual([0, 1]);
  expect(() => read("cow")).toThrow(TargetError);
  expect(read("cat")).toEqual(weights);
});

test("of two classes of one name the first is meant", () => {
  expect(parseTarget("cat", { names: ["dog", "cat", "cat"], shares: null })).toEqual([0, 1, 0]);
});

test("the names are gone through once, and not for every class that is asked for", () => {
  let reads = 0;
  const names = new Proxy(
    Array.from({ length: 300 }, (_, k) => `kind ${k}`),
    {
      get: (target, key) => {
        reads += 1;
        return Reflect.get(target, key);
      },
    },
  );
  const word = Array.from({ length: 36 }, (_, k) => k).join("|");
  expect(parseTarget(word, { names, shares: null }).filter(Boolean)).toHaveLength(36);
  expect(reads).toBeLessThan(10 * 300);
});

test.each([
  [
    ["cat", "dog", "cat", "a|b"],
    ["cat", "dog", "2", '"a|b"'],
  ],
  [
    ["2", "cat", "cat"],
    ["2", "cat", "02"],
  ],
])("each class of %j can be asked for, also two of one name", (names, words) => {
  expect(names.map((_, k) => asking(k, names))).toEqual(words);
  for (const [k, word] of words.entries()) {
    expect(parseTarget(word, { names, shares: null })[k]).toBe(1);
  }
});

test("no expression looks back, which Safari before 16.4 refuses with the whole page", () => {
  const folder = new URL("../../src/", import.meta.url);
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const read = files.filter((file) => file.endsWith(".ts"));
  expect(read).toContain("targets.ts");
  for (const file of read) {
    expect(readFileSync(new URL(file, folder), "utf8"), file).not.toMatch(/\(\?<[=!]/);
  }
});
