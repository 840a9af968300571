/** What the page asks of the worker, and what the worker answers. */

import type { Pair } from "./pair.ts";
import type { Frame } from "./walk.ts";

/** Walks that go on beside each other; a newer request of a lane cancels the older one. */
export type Lane = "guided" | "unguided" | "edit" | "strip";

/** How samples are walked to, whatever they begin at. */
export interface Settings {
  readonly weights: readonly number[];
  readonly scale: number;
  readonly steps: number;
  readonly eta: number;
  readonly seed: number;
}

export interface RowRequest extends Settings {
  readonly kind: "row";
  readonly lane: "guided" | "unguided";
  readonly id: number;
  readonly count: number;
}

export interface EditRequest extends Settings {
  readonly kind: "edit";
  readonly lane: "edit";
  readonly id: number;
  readonly count: number;
  /** x0 of the picture that is changed, C * H * W floats in [-1, 1]. */
  readonly drawing: Float32Array;
  readonly strength: number;
}

export interface StripRequest extends Settings {
  readonly kind: "strip";
  readonly lane: "strip";
  readonly id: number;
  readonly scales: readonly number[];
  /** Which image of the row. */
  readonly picture: number;
}

export type WalkRequest = RowRequest | EditRequest | StripRequest;

export type Request =
  | { readonly kind: "open"; readonly folder: string }
  /** What the user looks at, which is worked on first. */
  | { readonly kind: "see"; readonly lanes: readonly Lane[] }
  | WalkRequest;

/** One finished picture of the strip. */
export interface Cell {
  readonly place: number;
  readonly pixels: Uint8Array;
  /** p of what was asked for, at the least noisy level. */
  readonly probability: number;
}

export type Part =
  | { readonly kind: "frame"; readonly frame: Frame }
  /** A step was taken that has nothing to show: a newer request may come in. */
  | { readonly kind: "step" }
  | { readonly kind: "cell"; readonly cell: Cell };

export type Reply =
  | { readonly kind: "loading"; readonly bytes: number; readonly of: number }
  /** What the model is; it still loads. */
  | { readonly kind: "described"; readonly pair: Pair }
  | { readonly kind: "opened" }
  /** Both files of the model are there without a network from now on. */
  | { readonly kind: "kept" }
  | { readonly kind: "part"; readonly lane: Lane; readonly id: number; readonly part: Part }
  | { readonly kind: "done"; readonly lane: Lane; readonly id: number }
  /** lane: of the walk that failed; null where the model did not open. */
  | {
      readonly kind: "failed";
      readonly lane: Lane | null;
      readonly id: number;
      readonly sentence: string;
    };
