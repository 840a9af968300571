/**
 * One step of DDIM, deterministic at eta = 0, ancestral at eta = 1.
 *
 *     x_s = alpha_s x0~ + sqrt(sigma_s^2 - variance) eps~ + sqrt(variance) z
 *     variance = eta^2 * posterior variance
 *
 * Song et al. 2021 (arXiv:2010.02502), eq. 12.
 */

import type { Level } from "./levels.ts";

/** The clean picture and the noise in x_t, with x_t = alpha x0 + sigma eps. */
export interface Prediction {
  readonly x0: Float32Array;
  readonly eps: Float32Array;
}

/** The variance of the fresh noise in the step from `level` to the level `below` it. */
export function freshVariance(level: Level, below: Level, eta: number): number {
  const step = level.sigma ** 2 - ((level.alpha / below.alpha) * below.sigma) ** 2;
  return eta ** 2 * (below.sigma / level.sigma) ** 2 * step;
}

/** x at the level `below`. noise: gives z, asked only where the step adds fresh noise. */
export function ddim(
  prediction: Prediction,
  level: Level,
  below: Level,
  eta: number,
  noise: () => Float32Array,
): Float32Array {
  const variance = freshVariance(level, below, eta);
  const [towards, back] = [below.alpha, Math.sqrt(below.sigma ** 2 - variance)];
  const x = prediction.x0.map((x0, i) => towards * x0 + back * prediction.eps[i]!);
  if (variance <= 0) return x;
  const [z, spread] = [noise(), Math.sqrt(variance)];
  return x.map((value, i) => value + spread * z[i]!);
}

/** `prediction` with x0 in [-1, 1], and eps = (x_t - alpha x0) / sigma derived again. */
export function clamped(x_t: Float32Array, prediction: Prediction, level: Level): Prediction {
  const x0 = prediction.x0.map((value) => Math.min(1, Math.max(-1, value)));
  const eps = x_t.map((x, i) => (x - level.alpha * x0[i]!) / level.sigma);
  return { x0, eps };
}
