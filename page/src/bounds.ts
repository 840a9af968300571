/** How many steps the page offers: it keeps the frames of all of them, to walk back through. */

import type { Pair } from "./pair.ts";
import { PICTURES, RANGES } from "./state.ts";

/** Of the frames of one row. The page has two, and those before them: a phone bears some 1 GB. */
const MOST_ROW_BYTES = 64e6;

/** The most steps that the schedule has, and the memory. */
export function mostSteps(pair: Pick<Pair, "shape" | "names" | "schedule">): number {
  return Math.min(RANGES.steps.high, pair.schedule.alpha.length, borne(pair));
}

/** Why there are no more steps, in a sentence; empty where it is not for the memory. */
export function keepsFewer(pair: Pick<Pair, "shape" | "names" | "schedule">): string {
  const most = mostSteps(pair);
  if (most < borne(pair)) return "";
  return `At most ${most} steps: the page keeps what it shows of each, and more would not fit into memory.`;
}

/** A frame keeps x_t, x0 and the gradient, a byte a number, and log p in 4 bytes a class. */
function borne({ shape, names }: Pick<Pair, "shape" | "names">): number {
  const picture = shape.reduce((product, size) => product * size, 1);
  return Math.floor(MOST_ROW_BYTES / (PICTURES * (3 * picture + 4 * names.length)));
}
