/**
 * The frames of a walk that is going on, and of the one before it.
 *
 * What was there before is shown until the walk has something to show. A quiet walk changes what is
 * shown only once it is where the user looks: so the pictures of a scale that is being dragged pass
 * straight into each other, with no noise in between.
 */

import type { Frame } from "./walk.ts";

/** What a walk is asked for. */
export interface Towards {
  readonly target: string;
  readonly scale: number;
}

export class Track {
  private frames: Frame[] = [];
  private before: readonly Frame[] = [];
  private quiet = false;
  private newest: Towards | null = null;
  private older: Towards | null = null;
  busy = false;

  /** Only after a walk that came to its end can one be quiet: else noise would stand still. */
  begin(quiet: boolean, towards: Towards): void {
    this.older = this.waits ? this.older : this.newest;
    this.newest = towards;
    this.before = this.shown;
    this.frames = [];
    this.quiet = quiet && this.before.at(-1)?.asked === null;
    this.busy = true;
  }

  /** Show a quiet walk as it goes on. */
  reveal(): void {
    this.quiet = false;
  }

  add(frame: Frame): void {
    this.frames.push(frame);
  }

  finish(): void {
    this.busy = false;
  }

  /** The frame at step `at`, or where the walk has come to. at: null for its end. */
  at(at: number | null): Frame | null {
    const { frames, before } = this;
    if (this.isBefore(at)) return before[at ?? before.length - 1] ?? before.at(-1) ?? null;
    return frames[at ?? frames[0]!.steps] ?? frames.at(-1) ?? null;
  }

  /** What the walk was asked for from which `at` takes its frame; null before there is any. */
  towards(at: number | null): Towards | null {
    return this.isBefore(at) ? this.older : this.newest;
  }

  /** The frames from which `at` takes its own. */
  get shown(): readonly Frame[] {
    return this.waits ? this.before : this.frames;
  }

  /** Whether the walk shows nothing yet where the user looks, and the one before it is shown. */
  private isBefore(at: number | null): boolean {
    const { frames } = this;
    const wanted = at ?? frames[0]?.steps ?? 0;
    return frames.length === 0 || (this.quiet && frames.length <= wanted);
  }

  private get waits(): boolean {
    return this.frames.length === 0 || (this.quiet && !this.isComplete);
  }

  private get isComplete(): boolean {
    return this.frames.at(-1)?.asked === null;
  }

  /** The last of `shown` up to step `at` at which the networks were asked. */
  asked(at: number | null): Frame | null {
    const frame = this.at(at);
    if (frame === null || frame.asked !== null) return frame;
    return this.shown.findLast((each) => each.asked !== null) ?? null;
  }
}
