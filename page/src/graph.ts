/** Whether a graph is that of a guided step, and of the pair that pair.json describes. */

import type { InferenceSession } from "onnxruntime-web/wasm";
import { type Pair, PairError } from "./pair.ts";

const INPUTS = ["x", "t", "alpha", "sigma", "weights", "scale"] as const;
/** Where the classifier has a schedule of its own. */
const OF_A_CLASSIFIER = ["classifier_t", "classifier_gain"] as const;

/** x0 and eps guided, the same unguided, log p of all classes, and the gradient of log p. */
export const OUTPUTS = ["x0", "eps", "x0_unguided", "eps_unguided", "log_p", "gradient"] as const;

/** What a graph says of itself. */
export type Told = Pick<InferenceSession, "inputMetadata" | "outputMetadata">;

/** Throws PairError for a graph that takes or gives something else than `pair` says. */
export function checkGraph({ inputMetadata, outputMetadata }: Told, pair: Pair): void {
  const inputs = pair.classifier.schedule === null ? INPUTS : [...INPUTS, ...OF_A_CLASSIFIER];
  checkValues("input", inputs, inputMetadata, pair);
  checkValues("output", OUTPUTS, outputMetadata, pair);
}

function checkValues(
  kind: string,
  wanted: readonly string[],
  told: readonly InferenceSession.ValueMetadata[],
  pair: Pair,
): void {
  const names = told.map(({ name }) => name);
  const lacking = wanted.find((name) => !names.includes(name));
  if (lacking !== undefined) throw mismatch(pair, `the graph has no ${kind} ${lacking}`);
  // Outputs that nobody asks for do no harm; an input that nobody gives does.
  const unknown = kind === "input" ? names.find((name) => !wanted.includes(name)) : undefined;
  if (unknown !== undefined) throw mismatch(pair, `the graph takes ${unknown}`);
  for (const value of told) {
    if (!wanted.includes(value.name)) continue;
    if (!value.isTensor || value.type !== "float32") {
      throw mismatch(pair, `${value.name} of the graph is not of float32`);
    }
    const sizes = shapeOf(value.name, pair);
    if (!fits(value.shape, sizes)) {
      const says = `of ${["B", ...value.shape.slice(1)].join(" x ")} in the graph`;
      throw mismatch(pair, `${value.name} is ${says}, not of ${["B", ...sizes].join(" x ")}`);
    }
  }
}

/** The shape of one image's part of an input or output; empty for a number. */
function shapeOf(name: string, pair: Pair): readonly number[] {
  if (name === "weights" || name === "log_p") return [pair.names.length];
  return name === "x" || OUTPUTS.some((output) => output === name) ? pair.shape : [];
}

/** shape: a size that is known only when it runs is a name. */
function fits(shape: readonly (number | string)[], sizes: readonly number[]): boolean {
  if (shape.length === 0) return true; // Also said of a shape that is not known.
  const own = shape.slice(1);
  return (
    own.length === sizes.length &&
    own.every((size, i) => typeof size === "string" || size === sizes[i])
  );
}

/** `data` of the output `name` of `batch` images. Throws PairError if there is none, or not so much. */
export function checked(name: string, data: unknown, batch: number, pair: Pair): Float32Array {
  const length = shapeOf(name, pair).reduce((product, size) => product * size, batch);
  if (data instanceof Float32Array && data.length === length) return data;
  const what = data instanceof Float32Array ? `${data.length} numbers` : "nothing of float32";
  throw mismatch(pair, `${name} was ${what}, not ${length} numbers`);
}

function mismatch(pair: Pair, what: string): PairError {
  return new PairError(
    `model/${pair.model.file} and model/pair.json do not belong together: ${what}; ` +
      "copy both files of one export together.",
  );
}
