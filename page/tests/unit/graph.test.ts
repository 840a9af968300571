import type { InferenceSession } from "onnxruntime-web/wasm";
import { expect, test } from "vitest";
import { checked, checkGraph, OUTPUTS, type Told } from "../../src/graph.ts";
import { type Pair, PairError } from "../../src/pair.ts";

const PAIR: Pair = {
  model: { file: "pair.onnx", sha256: "0".repeat(64), bytes: 3 },
  shape: [1, 2, 3],
  names: ["cat", "dog"],
  shares: null,
  schedule: { alpha: [0.9, 0.5], sigma: [0.1, 0.8], between: null },
  classifier: { covers: [0, 1], schedule: null },
  conditional: false,
  clamp: true,
};

const OWN: Pair = { ...PAIR, classifier: { covers: [0, 1], schedule: PAIR.schedule } };

function value(name: string, shape: (number | string)[]): InferenceSession.ValueMetadata {
  return { name, isTensor: true, type: "float32", shape };
}

const NUMBERS = ["t", "alpha", "sigma", "scale"].map((name) => value(name, []));
const GRAPH: Told = {
  inputMetadata: [
    value("x", ["batch", 1, 2, 3]),
    value("weights", ["batch", "classes"]),
    ...NUMBERS,
  ],
  outputMetadata: OUTPUTS.map((name) =>
    value(name, name === "log_p" ? ["batch", 2] : ["batch", 1, 2, 3]),
  ),
};

function replaced(name: string, put: InferenceSession.ValueMetadata[]): Told {
  const replace = (all: readonly InferenceSession.ValueMetadata[]) =>
    all.flatMap((each) => (each.name === name ? put : [each]));
  return {
    inputMetadata: replace(GRAPH.inputMetadata),
    outputMetadata: replace(GRAPH.outputMetadata),
  };
}

test("the graph of a pair belongs to it, with outputs that nobody asks for too", () => {
  checkGraph(GRAPH, PAIR);
  checkGraph({ ...GRAPH, outputMetadata: [...GRAPH.outputMetadata, value("further", [7])] }, PAIR);
});

test.each([
  ["a lacking output", replaced("log_p", []), PAIR, "has no output log_p"],
  ["a lacking input", replaced("scale", []), PAIR, "has no input scale"],
  ["a classifier's schedule without its inputs", GRAPH, OWN, "has no input classifier_t"],
  ["an unknown input", replaced("t", [...NUMBERS, value("low_res", [1])]), PAIR, "takes low_res"],
  [
    "other classes",
    replaced("log_p", [value("log_p", ["batch", 5])]),
    PAIR,
    "log_p is of B x 5 in the graph, not of B x 2",
  ],
  [
    "other pictures",
    replaced("x", [value("x", ["batch", 3, 2, 3])]),
    PAIR,
    "x is of B x 3 x 2 x 3 in the graph, not of B x 1 x 2 x 3",
  ],
  [
    "another kind of number",
    replaced("x", [{ name: "x", isTensor: true, type: "float16", shape: [] }]),
    PAIR,
    "x of the graph is not of float32",
  ],
])("%s is refused in a sentence", (_, told, pair, words) => {
  expect(() => checkGraph(told, pair)).toThrow(PairError);
  expect(() => checkGraph(told, pair)).toThrow(words);
  expect(() => checkGraph(told, pair)).toThrow("do not belong together");
});

test("what the graph gave is as much as the pair says", () => {
  const logP = new Float32Array(8);
  expect(checked("log_p", logP, 4, PAIR)).toBe(logP);
  expect(() => checked("log_p", new Float32Array(12), 4, PAIR)).toThrow(
    "log_p was 12 numbers, not 8 numbers",
  );
  expect(() => checked("x0", undefined, 4, PAIR)).toThrow("nothing of float32, not 24 numbers");
});
