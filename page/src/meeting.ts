/**
 * How a classifier of another schedule meets the levels of a noise predictor.
 *
 * At equal noise angle atan2(sigma, alpha) x_t, times the ratio of the radii hypot(alpha, sigma),
 * has the distribution that the classifier knows.
 */

import { type Level, level, type Schedule } from "./levels.ts";

export interface Meeting {
  /** The classifier's timestep. */
  readonly t: number;
  /** By what x_t is multiplied for it. */
  readonly gain: number;
}

export function meeting(at: Level, schedule: Schedule): Meeting {
  const t = timestep(schedule, Math.atan2(at.sigma, at.alpha));
  const own = level(schedule, t);
  return { t, gain: Math.hypot(own.alpha, own.sigma) / Math.hypot(at.alpha, at.sigma) };
}

/** Where the angle of `schedule` is `angle`, between two timesteps in a straight line. */
function timestep({ alpha, sigma }: Schedule, angle: number): number {
  const angles = alpha.map((a, t) => Math.atan2(sigma[t]!, a));
  const found = angles.findIndex((each) => each >= angle);
  const above = Math.min(Math.max(found < 0 ? angles.length : found, 1), angles.length - 1);
  const [from, to] = [angles[above - 1]!, angles[above]!];
  return above - 1 + Math.min(1, Math.max(0, (angle - from) / (to - from)));
}
