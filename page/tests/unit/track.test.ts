import { expect, test } from "vitest";
import { CLEAN } from "../../src/levels.ts";
import { type Towards, Track } from "../../src/track.ts";
import type { Asked, Frame } from "../../src/walk.ts";

const SAID: Asked = {
  below: CLEAN,
  scale: 3,
  fresh: 0,
  x0: new Uint8Array(1),
  gradient: new Int8Array(1),
  largest: [0],
  logP: new Float32Array(1),
  sizes: [],
};

/** A frame whose only pixel says which walk it is of. */
function frame(walk: number, step: number): Frame {
  const asked = step < 2 ? SAID : null;
  return { step, steps: 2, level: CLEAN, x_t: Uint8Array.of(walk), asked };
}

function of(walk: number): Towards {
  return { target: `walk ${walk}`, scale: walk };
}

function walked(track: Track, walk: number, frames: number): void {
  for (let step = 0; step < frames; step++) track.add(frame(walk, step));
}

test("a walk is shown as it goes on", () => {
  const track = new Track();
  track.begin(false, of(1));
  expect(track.at(null)).toBeNull();
  walked(track, 1, 2);
  expect(track.at(null)?.step).toBe(1);
  expect(track.at(0)?.step).toBe(0);
});

test("a quiet walk shows what was before, until it is where the user looks", () => {
  const track = new Track();
  track.begin(false, of(1));
  walked(track, 1, 3);
  track.finish();
  track.begin(true, of(2));
  walked(track, 2, 2);
  expect(track.at(null)).toEqual(frame(1, 2));
  expect(track.at(1)).toEqual(frame(2, 1));
  track.add(frame(2, 2));
  track.finish();
  expect(track.at(null)).toEqual(frame(2, 2));
});

test("the first walk cannot be quiet", () => {
  const track = new Track();
  track.begin(true, of(2));
  walked(track, 1, 1);
  expect(track.at(null)).toEqual(frame(1, 0));
});

test("what was there stays until a walk has something to show", () => {
  const track = new Track();
  track.begin(false, of(1));
  walked(track, 1, 3);
  track.finish();
  track.begin(false, of(1));
  expect(track.at(null)).toEqual(frame(1, 2));
  expect(track.asked(null)).toEqual(frame(1, 1));
  expect(track.shown).toHaveLength(3);
  walked(track, 2, 1);
  expect(track.at(null)).toEqual(frame(2, 0));
  expect(track.shown).toEqual([frame(2, 0)]);
});

test("walks that are broken off before they show anything leave what was there", () => {
  const track = new Track();
  track.begin(false, of(1));
  walked(track, 1, 3);
  for (const quiet of [true, true, false, true]) track.begin(quiet, of(2));
  expect(track.at(null)).toEqual(frame(1, 2));
  walked(track, 2, 2);
  track.begin(true, of(2));
  expect(track.at(null)).toEqual(frame(1, 2));
});

test("after a walk that did not come to its end none is quiet: noise would stand still", () => {
  const track = new Track();
  track.begin(false, of(1));
  walked(track, 1, 2);
  track.begin(true, of(2));
  walked(track, 2, 1);
  expect(track.at(null)).toEqual(frame(2, 0));
});

test("a quiet walk is revealed where it has come to", () => {
  const track = new Track();
  track.begin(false, of(1));
  walked(track, 1, 3);
  track.begin(true, of(2));
  walked(track, 2, 2);
  track.reveal();
  expect(track.at(null)).toEqual(frame(2, 1));
});

test("a quiet walk that fails leaves what was there", () => {
  const track = new Track();
  track.begin(false, of(1));
  walked(track, 1, 3);
  track.finish();
  track.begin(true, of(2));
  walked(track, 2, 1);
  track.finish();
  expect(track.at(null)).toEqual(frame(1, 2));
  expect(track.asked(null)).toEqual(frame(1, 1));
});

test("what is shown is called what it was asked for, and not what is asked for now", () => {
  const track = new Track();
  expect(track.towards(null)).toBeNull();
  track.begin(false, of(1));
  walked(track, 1, 3);
  track.begin(true, of(2)); // It is broken off before it shows anything.
  track.begin(true, of(3));
  expect(track.towards(null)).toEqual(of(1));
  walked(track, 3, 2);
  expect(track.towards(null)).toEqual(of(1));
  expect(track.towards(1)).toEqual(of(3));
  track.add(frame(3, 2));
  expect(track.towards(null)).toEqual(of(3));
});
