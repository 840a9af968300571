import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { blank, paint, paintSigned } from "../../src/view/picture.ts";

const [SHAPE, BYTES, SIGNED] = [[1, 1, 1] as const, Uint8Array.of(9, 8), Int8Array.of(9, 8)];

let painted: number;
let canvas: HTMLCanvasElement;

beforeEach(() => {
  vi.stubGlobal("ImageData", class {});
  painted = 0;
  const context = { putImageData: () => ++painted, clearRect: () => {} };
  canvas = { width: 1, height: 1, getContext: () => context } as unknown as HTMLCanvasElement;
});

afterEach(() => vi.unstubAllGlobals());

test("a picture that already lies there is not painted again", () => {
  for (let i = 0; i < 3; i++) paint(canvas, BYTES, SHAPE, 0);
  expect(painted).toBe(1);
});

test("another picture, image or brightness is painted, and any after nothing", () => {
  paint(canvas, BYTES, SHAPE, 0);
  paint(canvas, BYTES, SHAPE, 1);
  paint(canvas, BYTES.slice(), SHAPE, 1);
  paintSigned(canvas, SIGNED, SHAPE, 1, 0.5);
  paintSigned(canvas, SIGNED, SHAPE, 1, 1);
  blank(canvas);
  paintSigned(canvas, SIGNED, SHAPE, 1, 1);
  expect(painted).toBe(6);
});
