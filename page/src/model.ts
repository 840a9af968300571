/** The guided step: the graph of both networks and of the classifier's gradient, in onnxruntime. */

import * as ort from "onnxruntime-web/wasm";
import type { Prediction } from "./ddim.ts";
import { checked, checkGraph, OUTPUTS } from "./graph.ts";
import type { Level } from "./levels.ts";
import { meeting } from "./meeting.ts";
import type { Pair } from "./pair.ts";

export interface Guided {
  readonly guided: Prediction;
  readonly unguided: Prediction;
  /** log p(y | x_t) of every class, B * K. */
  readonly logP: Float32Array;
  /** The gradient of log p of what was asked for, in the shape of x_t. */
  readonly gradient: Float32Array;
  /** By which the gradient bent the noise: 0 where the classifier does not cover the level. */
  readonly scale: number;
}

export class GuidedStep {
  private constructor(
    readonly pair: Pair,
    private readonly session: ort.InferenceSession,
  ) {}

  /**
   * runtime: onnxruntime's WebAssembly.
   *
   * Throws PairError for a graph of another pair, and what onnxruntime throws for no graph.
   */
  static async open(
    pair: Pair,
    graph: Uint8Array,
    runtime: Uint8Array<ArrayBuffer>,
  ): Promise<GuidedStep> {
    // Several threads want shared memory, which a static site cannot have without special headers.
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = runtime.buffer;
    ort.env.logLevel = "error";
    const session = await ort.InferenceSession.create(graph, {
      executionProviders: ["wasm"],
      graphOptimizationLevel: "all",
    });
    checkGraph(session, pair);
    return new GuidedStep(pair, session);
  }

  /** What the networks say of `x` (B, C, H, W) at `level`. weights: of the classes, one image's. */
  async run(
    x: Float32Array,
    level: Level,
    weights: readonly number[],
    scale: number,
  ): Promise<Guided> {
    const [channels, height, width] = this.pair.shape;
    const batch = x.length / (channels * height * width);
    const rows = Float32Array.from({ length: batch * weights.length }, (_, i) => {
      return weights[i % weights.length]!;
    });
    const [first, last] = this.pair.classifier.covers;
    const covered = level.t !== null && first <= level.t && level.t <= last;
    const used = covered ? scale : 0;
    const made = await this.session.run({
      x: new ort.Tensor("float32", x, [batch, channels, height, width]),
      t: scalar(level.t ?? 0),
      alpha: scalar(level.alpha),
      sigma: scalar(level.sigma),
      scale: scalar(used),
      weights: new ort.Tensor("float32", rows, [batch, weights.length]),
      ...this.classifierInputs(level),
    });
    const [x0, eps, x0Free, epsFree, logP, gradient] = OUTPUTS.map((name) => {
      return checked(name, made[name]?.data, batch, this.pair);
    });
    return {
      guided: { x0: x0!, eps: eps! },
      unguided: { x0: x0Free!, eps: epsFree! },
      logP: logP!,
      gradient: gradient!,
      scale: used,
    };
  }

  private classifierInputs(level: Level): Record<string, ort.Tensor> {
    const { schedule } = this.pair.classifier;
    if (schedule === null) return {};
    const { t, gain } = meeting(level, schedule);
    return { classifier_t: scalar(t), classifier_gain: scalar(gain) };
  }
}

function scalar(value: number): ort.Tensor {
  return new ort.Tensor("float32", Float32Array.of(value), []);
}
