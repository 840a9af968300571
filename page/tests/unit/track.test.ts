import { expect, test } from "vitest";
import { CLEAN } from "../../src/levels.ts";
import { Track } from "../../src/track.ts";
import type { Frame } from "../../src/walk.ts";

/** A frame whose only pixel says which walk it is of. */
function frame(walk: number, step: number): Frame {
  return { step, steps: 2, level: CLEAN, x_t: Uint8Array.of(walk), asked: null };
}

function walked(track: Track, walk: number, frames: number): void {
  for (let step = 0; step < frames; step++) track.add(frame(walk, step));
}

test("a walk is shown as it goes on", () => {
  const track = new Track();
  track.begin(false);
  expect(track.at(null)).toBeNull();
  walked(track, 1, 2);
  expect(track.at(null)?.step).toBe(1);
  expect(track.at(0)?.step).toBe(0);
});

test("a quiet walk shows what was before, until it is where the user looks", () => {
  const track = new Track();
  track.begin(false);
  walked(track, 1, 3);
  track.finish();
  track.begin(true);
  walked(track, 2, 2);
  expect(track.at(null)).toEqual(frame(1, 2));
  expect(track.at(1)).toEqual(frame(2, 1));
  track.add(frame(2, 2));
  track.finish();
  expect(track.at(null)).toEqual(frame(2, 2));
});

test("the first walk cannot be quiet", () => {
  const track = new Track();
  track.begin(true);
  walked(track, 1, 1);
  expect(track.at(null)).toEqual(frame(1, 0));
});
