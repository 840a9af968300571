/** A walk from noise to clean pictures, a frame a step, which keeps what the page shows. */

import { clamped, ddim, freshVariance, type Prediction } from "./ddim.ts";
import type { Level } from "./levels.ts";
import type { GuidedStep } from "./model.ts";
import type { SeededNoise } from "./philox.ts";
import { largestOf, rootMeanSquares, toBytes, toSigned } from "./pixels.ts";

export interface Walk {
  /** B * C * H * W floats at the first level. */
  readonly start: Float32Array;
  readonly levels: readonly Level[];
  readonly noise: SeededNoise;
  readonly weights: readonly number[];
  /** 0 is off. */
  readonly scale: number;
  readonly eta: number;
}

/** Root mean squares of one image's tensors at a step. */
export interface Sizes {
  readonly x_t: number;
  readonly eps: number;
  readonly gradient: number;
  /** As the classifier bends it. */
  readonly guidedEps: number;
  /** With which the step is made: derived again from x0 where that is clamped. */
  readonly stepEps: number;
  readonly x0: number;
  readonly next: number;
}

/** What the networks said at a step: nothing at the clean level, where none is asked. */
export interface Asked {
  readonly below: Level;
  /** By which the gradient bent the noise: 0 where the classifier does not cover the level. */
  readonly scale: number;
  /** The standard deviation of the fresh noise that the step adds. */
  readonly fresh: number;
  readonly x0: Uint8Array;
  /** -127 ... 127, each image by its own largest value. */
  readonly gradient: Int8Array;
  /** That value, of the gradient of each image. */
  readonly largest: readonly number[];
  readonly logP: Float32Array;
  readonly sizes: readonly Sizes[];
}

/** Where a walk stands: pictures of B images at a level. */
export interface Frame {
  readonly step: number;
  readonly steps: number;
  readonly level: Level;
  readonly x_t: Uint8Array;
  readonly asked: Asked | null;
}

/** A walk that went astray, in a sentence for the user. */
export class WalkError extends Error {}

/** A frame at every level of `walk`, noisiest first; the last one holds the clean pictures. */
export async function* frames(
  model: Pick<GuidedStep, "pair" | "run">,
  walk: Walk,
): AsyncGenerator<Frame> {
  const { levels, scale, weights, eta, noise } = walk;
  const size = model.pair.shape.reduce((product, length) => product * length, 1);
  const steps = levels.length - 1;
  let x = walk.start;
  for (let step = 0; step < steps; step++) {
    const [level, below] = [levels[step]!, levels[step + 1]!];
    const said = await model.run(x, level, weights, scale);
    const raw: Prediction = scale === 0 ? said.unguided : said.guided;
    const prediction = model.pair.clamp ? clamped(x, raw, level) : raw;
    const next = ddim(prediction, level, below, eta, () => noise.next());
    if (!next.every(Number.isFinite)) {
      const advice =
        scale === 0
          ? "there is no guidance in them, so the model itself fails: export it again."
          : "try a smaller scale or more steps.";
      throw new WalkError(`The pictures are not finite from step ${step + 1} on; ${advice}`);
    }
    const tensors = {
      x_t: rootMeanSquares(x, size),
      eps: rootMeanSquares(said.unguided.eps, size),
      gradient: rootMeanSquares(said.gradient, size),
      guidedEps: rootMeanSquares(raw.eps, size),
      stepEps: rootMeanSquares(prediction.eps, size),
      x0: rootMeanSquares(prediction.x0, size),
      next: rootMeanSquares(next, size),
    };
    const largest = largestOf(said.gradient, size);
    yield {
      step,
      steps,
      level,
      x_t: toBytes(x),
      asked: {
        below,
        scale: said.scale,
        fresh: Math.sqrt(Math.max(0, freshVariance(level, below, eta))),
        x0: toBytes(prediction.x0),
        gradient: toSigned(said.gradient, size, largest),
        largest,
        logP: said.logP,
        sizes: tensors.x_t.map((_, i) => ({
          x_t: tensors.x_t[i]!,
          eps: tensors.eps[i]!,
          gradient: tensors.gradient[i]!,
          guidedEps: tensors.guidedEps[i]!,
          stepEps: tensors.stepEps[i]!,
          x0: tensors.x0[i]!,
          next: tensors.next[i]!,
        })),
      },
    };
    x = next;
  }
  yield { step: steps, steps, level: levels[steps]!, x_t: toBytes(x), asked: null };
}
