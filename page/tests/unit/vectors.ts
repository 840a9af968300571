/** What Python says: `tests/vectors.py` writes it. */

import { readFileSync } from "node:fs";
import type { Level, Schedule } from "../../src/levels.ts";

type Told = [alpha: number, sigma: number, t: number | null];

interface Vectors {
  philox: { counter: Four; key: [number, number]; words: Four }[];
  noise: { seed: number; index: number[]; size: number; draws: number[][] }[];
  levels: (Schedule & {
    walks: { steps: number; timesteps: number | null; levels: Told[] }[];
    edit: Told[];
  })[];
  meeting: { schedule: Schedule; levels: Told[]; met: [t: number, gain: number][] }[];
  walked: [strength: number, all: number, walked: number][];
  ddim: {
    levels: [Told, Told];
    eta: number;
    x_t: number[];
    x0: number[];
    eps: number[];
    z: number[];
    below: number[];
  }[];
  targets: { names: string[]; shares: number[]; meant: Record<string, number[] | null> }[];
}

type Four = [number, number, number, number];

const file = new URL("../made/vectors.json", import.meta.url);

export const vectors: Vectors = JSON.parse(readFileSync(file, "utf8"));

export function told([alpha, sigma, t]: Told): Level {
  return { alpha, sigma, t };
}

/** The largest absolute difference. */
export function difference(ours: ArrayLike<number>, theirs: ArrayLike<number>): number {
  if (ours.length !== theirs.length) return Number.POSITIVE_INFINITY;
  return Math.max(...Array.from(ours, (value, i) => Math.abs(value - theirs[i]!)));
}
