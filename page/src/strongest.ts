/** Of many classes, those that have a bar. */

import type { Weights } from "./targets.ts";

/** So many asked classes have a bar however improbable they are. */
const FEW = 4;

/** The `most` most probable of the classes and a few asked ones, in their order; all if so many. */
export function strongest(p: readonly number[], weights: Weights, most: number): number[] {
  const order = p.map((_, k) => k);
  if (order.length <= most) return order;
  const asked = weights.filter((weight) => weight > 0).length;
  const few = asked <= FEW ? 1 : 0;
  const rank = p.map((each, k) => each + (weights[k]! > 0 ? few : 0));
  return order
    .sort((a, b) => rank[b]! - rank[a]!)
    .slice(0, most)
    .sort((a, b) => a - b);
}
