/** How hard the classifier pulls at a step, and over a walk. */

import type { Frame } from "./walk.ts";

/** The largest value of any gradient in `frames`, the full colour of their pictures; 0 for none. */
export function fullColour(frames: readonly Frame[]): number {
  return Math.max(0, ...frames.flatMap(({ asked }) => asked?.largest ?? []));
}

/**
 * How bright, 0 ... 1, the largest value of a gradient is, `largest`, where `full` is full colour.
 *
 * So it goes dark where the classifier has no more to ask for; by the square root, so that a
 * hundredth of the largest can still be seen.
 */
export function brightness(largest: number, full: number): number {
  return full > 0 ? Math.sqrt(largest / full) : 0;
}

/** The frame at which sigma_t |gradient| of image `index` is largest, which times s bends the noise. */
export function strongest(frames: readonly Frame[], index: number): Frame | null {
  const pull = ({ asked, level }: Frame) =>
    asked === null ? -1 : level.sigma * asked.sizes[index]!.gradient;
  return frames.reduce<Frame | null>(
    (best, frame) => (best === null || pull(frame) > pull(best) ? frame : best),
    null,
  );
}
