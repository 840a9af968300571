import { expect, test } from "vitest";
import { FORMAT, PairError, readPair, VERSION } from "../../src/pair.ts";

const TOLD = {
  format: FORMAT,
  version: VERSION,
  model: { file: "pair.onnx", sha256: "0".repeat(64), bytes: 3 },
  image_shape: [1, 2, 2],
  class_names: ["cat", "dog"],
  class_shares: [0.25, 0.75],
  conditional: false,
  alpha: [0.9, 0.5],
  sigma: [0.1, 0.8],
  between: "variance preserving",
  classifier: { covers: [0, 1], schedule: null },
  codec: { kind: "pixels", low: -1, high: 1 },
  clamp: true,
};

test("a description is read", () => {
  expect(readPair(TOLD)).toEqual({
    model: TOLD.model,
    shape: [1, 2, 2],
    names: ["cat", "dog"],
    shares: [0.25, 0.75],
    schedule: { alpha: [0.9, 0.5], sigma: [0.1, 0.8], between: "variance preserving" },
    classifier: { covers: [0, 1], schedule: null },
    conditional: false,
    clamp: true,
  });
});

test("a classifier may have a schedule of its own", () => {
  const classifier = {
    covers: [0.5, 1],
    schedule: { alpha: [1, 1], sigma: [0.1, 50], between: "variance exploding" },
  };
  expect(readPair({ ...TOLD, classifier }).classifier).toEqual(classifier);
});

test("names are shown as what they are, and signs that turn or hide others as codes", () => {
  const class_names = ["", "a\nb", "\u202ecow", "  ", "\u200b", "chat 👩‍🚀", "\ud800"];
  expect(readPair({ ...TOLD, class_names, class_shares: null }).names).toEqual([
    "0",
    "a\\u000ab",
    "\\u202ecow",
    "3",
    "4",
    "chat 👩‍🚀",
    "\\ud800",
  ]);
});

test("a schedule may end in noise alone", () => {
  expect(readPair({ ...TOLD, alpha: [0.9, 0] }).schedule.alpha).toEqual([0.9, 0]);
});

test.each([
  ["nothing", null, "does not describe a guided step"],
  ["a list", [], "does not describe a guided step"],
  ["another format", { ...TOLD, format: "cow" }, "does not describe a guided step"],
  ["another version", { ...TOLD, version: 2 }, "is of version 2 and this page reads 1"],
  ["a file elsewhere", { ...TOLD, model: { ...TOLD.model, file: "../x" } }, "model.file"],
  ["no hash", { ...TOLD, model: { ...TOLD.model, sha256: "12" } }, "model.sha256"],
  ["no size", { ...TOLD, model: { ...TOLD.model, bytes: -1 } }, "model.bytes"],
  ["too large", { ...TOLD, model: { ...TOLD.model, bytes: 1e12 } }, "model.bytes"],
  ["flat pictures", { ...TOLD, image_shape: [4] }, "image_shape"],
  ["two channels", { ...TOLD, image_shape: [2, 2, 2] }, "have 2 channels"],
  ["large pictures", { ...TOLD, image_shape: [3, 512, 512] }, "image_shape"],
  ["huge pictures", { ...TOLD, image_shape: [1, 1e6, 1e6] }, "image_shape"],
  ["no classes", { ...TOLD, class_names: [] }, "class_names"],
  ["a name without end", { ...TOLD, class_names: ["x".repeat(201), "dog"] }, "over 200 signs"],
  ["other shares", { ...TOLD, class_shares: [1] }, "class_shares"],
  ["NaN", { ...TOLD, alpha: [null, 0.5] }, "alpha"],
  ["other sigmas", { ...TOLD, sigma: [0.1] }, "sigma"],
  ["an alpha that is 0 in float32", { ...TOLD, alpha: [0.9, 1e-300] }, "alpha is missing or out"],
  ["a sigma that is 0 in float32", { ...TOLD, sigma: [1e-300, 0.8] }, "sigma is missing or out"],
  [
    "a schedule that jumps",
    { ...TOLD, alpha: [0.9, 0.5, 0.7], sigma: [0.1, 0.8, 0.6] },
    "the noise does not grow from timestep 1 to 2",
  ],
  ["a schedule that stands", { ...TOLD, alpha: [0.9, 0.9], sigma: [0.1, 0.1] }, "does not grow"],
  [
    "a classifier's schedule that falls",
    {
      ...TOLD,
      classifier: {
        covers: [0, 1],
        schedule: { alpha: [0.5, 0.9], sigma: [0.8, 0.1], between: null },
      },
    },
    "the noise does not grow",
  ],
  ["another process", { ...TOLD, between: "cow" }, "between"],
  ["no cover", { ...TOLD, classifier: {} }, "classifier.covers"],
  ["half a schedule", { ...TOLD, classifier: { covers: [0, 1], schedule: {} } }, "alpha"],
  ["latents", { ...TOLD, codec: { kind: "latents" } }, "latents, not pixels"],
  ["another range", { ...TOLD, codec: { ...TOLD.codec, low: 0 } }, "codec"],
])("%s is refused in a sentence", (_, told, words) => {
  expect(() => readPair(told)).toThrow(PairError);
  expect(() => readPair(told)).toThrow(words);
});
