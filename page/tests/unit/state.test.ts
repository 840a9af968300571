import { expect, test } from "vitest";
import {
  numberIn,
  RANGES,
  readState,
  type State,
  usualState,
  writeState,
} from "../../src/state.ts";

const CLASSES = { names: [..."0123456789"], shares: null };

test("a state that was written is read back", () => {
  const state: State = {
    target: "3|7",
    scale: 7.5,
    steps: 30,
    seed: 4294967295,
    eta: 0.35,
    at: 12,
    view: "gradient",
    picture: 3,
    strength: 0.45,
  };
  const read = readState(`#${writeState(state)}`, CLASSES, 1000);
  expect(read).toEqual({ state, complaints: [] });
});

test("an empty link is the usual state", () => {
  expect(readState("", CLASSES, 1000)).toEqual({
    state: usualState(CLASSES, 1000),
    complaints: [],
  });
});

test("where there are fewer steps than the usual ones, all of them are taken", () => {
  expect(readState("", CLASSES, 12).state.steps).toBe(12);
  const { state, complaints } = readState("steps=15", CLASSES, 12);
  expect(state.steps).toBe(12);
  expect(complaints).toEqual([
    "The link says steps “15”, which is no number from 1 to 12; the page takes 12.",
  ]);
});

test("the link of a state that follows the walk says no step", () => {
  expect(writeState(usualState(CLASSES, 1000))).not.toContain("at=");
});

test.each([
  ["scale=21", "scale “21”, which is no number from 0 to 20"],
  ["scale=-1", "scale “-1”"],
  ["scale=1e1", "scale “1e1”"],
  ["scale=NaN", "scale “NaN”"],
  ["scale=", "scale “”"],
  ["steps=0", "steps “0”, which is no number from 1 to 100"],
  ["seed=4294967296", "seed “4294967296”"],
  ["at=21", "at “21”, which is no step from 0 to 20"],
  ["view=cat", "view “cat”, which is none of x_t, x0, gradient"],
  ["target=cat", "There is no class cat"],
  ["picture=4", "picture “4”"],
  ["cow=1", "“cow”, which means nothing here"],
  ["__proto__=1", "“__proto__”, which means nothing here"],
  ["constructor=2", "“constructor”, which means nothing here"],
  [`target=${"3|".repeat(20_000)}3`, "has 40001 signs; wanted at most 100"],
  [`scale=${"9".repeat(5000)}`, "..."],
])("%s is said and replaced", (hash, words) => {
  const { state, complaints } = readState(hash, CLASSES, 1000);
  expect(state).toEqual(usualState(CLASSES, 1000));
  expect(complaints).toHaveLength(1);
  expect(complaints[0]).toContain(words);
  expect(complaints[0]!.length).toBeLessThan(250);
});

test("a schedule of few timesteps bounds the steps", () => {
  expect(readState("steps=60", CLASSES, 50).complaints).toHaveLength(1);
});

test("numbers are held to whole steps of their range", () => {
  expect(numberIn("3.14159", RANGES.scale)).toBe(3.1);
  expect(numberIn("0.3", RANGES.eta)).toBe(0.3);
  expect(numberIn("7.4", RANGES.seed)).toBe(7);
});

test("of many complaints five are made", () => {
  const hash = Array.from({ length: 2000 }, (_, i) => `cow${i}=1`).join("&");
  const { complaints } = readState(hash, CLASSES, 1000);
  expect(complaints).toHaveLength(6);
  expect(complaints[4]).toContain("“cow4”");
  expect(complaints[5]).toBe("The link has 1995 more such things.");
});
