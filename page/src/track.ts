/**
 * The frames of a walk that is going on, and of the one before it.
 *
 * A quiet walk changes what is shown only once it is where the user looks: so the pictures of a
 * scale that is being dragged pass straight into each other, with no noise in between.
 */

import type { Frame } from "./walk.ts";

export class Track {
  private frames: Frame[] = [];
  private before: Frame[] = [];
  private quiet = false;
  busy = false;

  begin(quiet: boolean): void {
    if (this.frames.length > 0) this.before = this.quiet && this.busy ? this.before : this.frames;
    this.frames = [];
    this.quiet = quiet && this.before.length > 0;
    this.busy = true;
  }

  add(frame: Frame): void {
    this.frames.push(frame);
  }

  finish(): void {
    this.busy = false;
  }

  /** Whether what was there before is shown until this walk is where the user looks. */
  get isQuiet(): boolean {
    return this.quiet;
  }

  /** The frame at step `at`, or where the walk has come to. at: null for its end. */
  at(at: number | null): Frame | null {
    const { frames } = this;
    const wanted = at ?? frames[0]?.steps ?? 0;
    if (this.quiet && frames.length <= wanted)
      return this.before[at ?? this.before.length - 1] ?? null;
    return frames[wanted] ?? frames.at(-1) ?? null;
  }

  /** The frames from which `at` takes its own. */
  get shown(): readonly Frame[] {
    return this.quiet && this.busy ? this.before : this.frames;
  }

  /** The last of `shown` up to step `at` at which the networks were asked. */
  asked(at: number | null): Frame | null {
    const frame = this.at(at);
    if (frame === null || frame.asked !== null) return frame;
    return this.shown.findLast((each) => each.asked !== null) ?? null;
  }
}
