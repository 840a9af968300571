/** A picture in its own pixels, which the style sheet enlarges. */

import { colours, signedColours } from "../colours.ts";
import type { Shape } from "../pair.ts";
import { element } from "./dom.ts";

/** What lies on a canvas: it is painted only when that changes. The arrays are never written to. */
const painted = new WeakMap<HTMLCanvasElement, { from: Uint8Array | Int8Array; index: number }>();

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
  if (isNew(canvas, bytes, index)) put(canvas, colours(bytes, shape, index));
}

/** Paint image `index` of a gradient (B, C, H, W) in -127 ... 127. */
export function paintSigned(
  canvas: HTMLCanvasElement,
  signed: Int8Array,
  shape: Shape,
  index: number,
): void {
  if (isNew(canvas, signed, index)) put(canvas, signedColours(signed, shape, index));
}

/** Paint nothing. */
export function blank(canvas: HTMLCanvasElement): void {
  painted.delete(canvas);
  canvas.getContext("2d")!.clearRect(0, 0, canvas.width, canvas.height);
}

function isNew(canvas: HTMLCanvasElement, from: Uint8Array | Int8Array, index: number): boolean {
  const before = painted.get(canvas);
  painted.set(canvas, { from, index });
  return before?.from !== from || before.index !== index;
}

function put(canvas: HTMLCanvasElement, rgba: Uint8ClampedArray<ArrayBuffer>): void {
  const data = new ImageData(rgba, canvas.width, canvas.height);
  canvas.getContext("2d")!.putImageData(data, 0, 0);
}
