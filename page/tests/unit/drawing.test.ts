import { expect, test } from "vitest";
import { Drawing } from "../../src/drawing.ts";
import { toBytes } from "../../src/pixels.ts";

test("an empty drawing is black", () => {
  expect(new Set(new Drawing([1, 16, 16]).x0())).toEqual(new Set([-1]));
});

test("a stroke is white along its way, grey at its edge, and black elsewhere", () => {
  const drawing = new Drawing([1, 16, 16]);
  drawing.stroke({ x: 0.2, y: 0.5 }, { x: 0.8, y: 0.5 });
  const x0 = drawing.x0();
  const column = Array.from({ length: 16 }, (_, row) => x0[row * 16 + 8]!);
  expect(Math.max(...column)).toBeGreaterThan(0.7);
  expect(column.filter((value) => value === -1).length).toBeGreaterThan(11);
  expect(x0[0]).toBe(-1);
});

test("a stroke that leaves the field is cut off at its edge", () => {
  const drawing = new Drawing([3, 8, 8]);
  drawing.stroke({ x: -1, y: 0.5 }, { x: 2, y: 0.5 });
  const x0 = drawing.x0();
  expect(x0.slice(0, 64)).toEqual(x0.slice(64, 128));
  expect(Math.max(...x0)).toBeGreaterThan(0);
});

test("a picture that is put in comes out with the same bytes", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  const drawing = new Drawing([1, 16, 16]);
  drawing.put(bytes);
  expect(toBytes(drawing.x0())).toEqual(bytes);
});

test("a pixel is painted and erased", () => {
  const drawing = new Drawing([1, 4, 4]);
  drawing.pixel(1, 2, true);
  expect(drawing.x0()[9]).toBe(1);
  drawing.pixel(1, 2, false);
  expect(new Set(drawing.x0())).toEqual(new Set([-1]));
});

test("what was drawn shows, also after x0 was asked for", () => {
  const drawing = new Drawing([1, 4, 4]);
  const before = drawing.x0();
  expect(drawing.x0()).toBe(before);
  drawing.stroke({ x: 0.5, y: 0.5 }, { x: 0.5, y: 0.5 });
  expect(drawing.x0()).not.toEqual(before);
  drawing.clear();
  expect(drawing.x0()).toEqual(before);
});

test("a pixel that is painted after a stroke through it is white, and no lighter", () => {
  const drawing = new Drawing([1, 8, 8]);
  drawing.stroke({ x: 0, y: 0.5 }, { x: 1, y: 0.5 });
  for (let column = 0; column < 8; column++) drawing.pixel(column, 3, true);
  drawing.stroke({ x: 0, y: 0.5 }, { x: 1, y: 0.5 });
  expect(new Set(drawing.x0().subarray(24, 32))).toEqual(new Set([1]));
});

test("the edge of a long stroke on a large picture is straight", () => {
  const drawing = new Drawing([1, 128, 128]);
  drawing.stroke({ x: 0, y: 0.5 }, { x: 1, y: 0.5 });
  const row = (y: number) => drawing.x0().subarray(y * 128, (y + 1) * 128);
  const edge = Array.from({ length: 128 }, (_, y) => y).find((y) => row(y)[64]! > -1)!;
  const values = row(edge).subarray(16, 112);
  expect(Math.max(...values) - Math.min(...values)).toBeLessThanOrEqual(0.3);
});
