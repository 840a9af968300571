/** What all views are drawn from, and what they may change. */

import type { Pair } from "./pair.ts";
import type { State } from "./state.ts";
import type { Weights } from "./targets.ts";
import type { Track } from "./track.ts";

export interface Scene {
  readonly pair: Pair;
  readonly state: State;
  /** What `state.target` means. */
  readonly weights: Weights;
  readonly guided: Track;
  readonly unguided: Track;
}

/** Change a part of the state: the page asks for what is then missing and draws all views. */
export type Change = (part: Partial<State>) => void;

/** A part of the page. */
export interface View {
  readonly element: HTMLElement;
  readonly draw: (scene: Scene) => void;
}
