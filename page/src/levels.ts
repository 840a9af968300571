/**
 * Noise levels: where a sampler stands, x = alpha x0 + sigma eps, noisiest first.
 *
 * The schedule comes as tables of alpha and sigma. Between two timesteps the angle
 * atan2(sigma, alpha) is interpolated, as the Python package does it.
 */

/** `t` is the timestep that the networks are told; null at the clean level, where none is asked. */
export interface Level {
  readonly alpha: number;
  readonly sigma: number;
  readonly t: number | null;
}

export interface Schedule {
  readonly alpha: readonly number[];
  readonly sigma: readonly number[];
  /** The process between two timesteps; null where only whole ones are known. */
  readonly between: Process | null;
}

export const PROCESSES = ["variance preserving", "variance exploding"] as const;
export type Process = (typeof PROCESSES)[number];

export const CLEAN: Level = { alpha: 1, sigma: 0, t: null };

/** The levels of `steps` steps, t in equal steps from T-1 to 0, and the clean level behind them. */
export function levels(
  schedule: Schedule,
  steps: number,
  timesteps = schedule.alpha.length,
): Level[] {
  const last = timesteps - 1;
  const walked = Array.from({ length: steps }, (_, i) =>
    level(schedule, last * (1 - i / Math.max(steps - 1, 1))),
  );
  return [...walked, CLEAN];
}

/** The level at timestep `wanted` in [0, T-1], exact at whole ones. */
export function level(schedule: Schedule, wanted: number): Level {
  const t = schedule.between === null ? Math.round(wanted) : wanted;
  const below = Math.floor(t);
  const part = t - below;
  if (part === 0) return { alpha: schedule.alpha[below]!, sigma: schedule.sigma[below]!, t };
  const [from, to] = [angle(schedule, below), angle(schedule, below + 1)];
  const between = from + part * (to - from);
  return schedule.between === "variance preserving"
    ? { alpha: Math.cos(between), sigma: Math.sin(between), t }
    : { alpha: 1, sigma: Math.tan(between), t };
}

/** How many of the `all` timesteps an edit of this strength walks: rounded as Python rounds. */
export function walked(strength: number, all: number): number {
  const exact = strength * all;
  const below = Math.floor(exact);
  if (exact - below !== 0.5) return Math.round(exact);
  return below % 2 === 0 ? below : below + 1;
}

function angle({ alpha, sigma }: Schedule, t: number): number {
  return Math.atan2(sigma[t]!, alpha[t]!);
}
