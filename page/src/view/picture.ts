/** A picture in its own pixels, which the style sheet enlarges. */

import { colours, signedColours } from "../colours.ts";
import type { Shape } from "../pair.ts";
import { element } from "./dom.ts";

/** What lies on a canvas: it is painted only when that changes. The arrays are never written to. */
const painted = new WeakMap<HTMLCanvasElement, Painted>();

interface Painted {
  readonly from: Uint8Array | Int8Array;
  readonly index: number;
  readonly bright: number;
}

export function pictureCanvas([, height, width]: Shape): HTMLCanvasElement {
  return element("canvas", { width, height, class: "picture", "aria-hidden": "true" });
}

/** Paint image `index` of `bytes` (B, C, H, W). */
export function paint(
  canvas: HTMLCanvasElement,
  bytes: Uint8Array,
  shape: Shape,
  index: number,
): void {
  if (isNew(canvas, { from: bytes, index, bright: 1 })) put(canvas, colours(bytes, shape, index));
}

/** Paint image `index` of a gradient (B, C, H, W) in -127 ... 127, whose 127 is so `bright`, 0 ... 1. */
export function paintSigned(
  canvas: HTMLCanvasElement,
  signed: Int8Array,
  shape: Shape,
  index: number,
  bright: number,
): void {
  if (!isNew(canvas, { from: signed, index, bright })) return;
  put(canvas, signedColours(signed, shape, index, bright));
}

/** Paint nothing. */
export function blank(canvas: HTMLCanvasElement): void {
  painted.delete(canvas);
  canvas.getContext("2d")!.clearRect(0, 0, canvas.width, canvas.height);
}

function isNew(canvas: HTMLCanvasElement, now: Painted): boolean {
  const before = painted.get(canvas);
  painted.set(canvas, now);
  return before?.from !== now.from || before.index !== now.index || before.bright !== now.bright;
}

function put(canvas: HTMLCanvasElement, rgba: Uint8ClampedArray<ArrayBuffer>): void {
  const data = new ImageData(rgba, canvas.width, canvas.height);
  canvas.getContext("2d")!.putImageData(data, 0, 0);
}
