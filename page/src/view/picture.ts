/** A picture in its own pixels, which the style sheet enlarges. */

import type { Shape } from "../pair.ts";
import { element } from "./dom.ts";

/** What lies under a gradient of 0, and its two ends: darker, lighter. */
const [NONE, DARKER, LIGHTER] = [
  [22, 22, 26],
  [72, 149, 239],
  [255, 140, 66],
] as const;

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
  const [channels, height, width] = shape;
  const area = height * width;
  const start = index * channels * area;
  put(canvas, area, (i) => {
    const channel = (c: number) => bytes[start + (channels === 3 ? c : 0) * area + i]!;
    return [channel(0), channel(1), channel(2)];
  });
}

/** Paint image `index` of a gradient (B, C, H, W) in -127 ... 127: blue is darker, orange lighter. */
export function paintSigned(
  canvas: HTMLCanvasElement,
  signed: Int8Array,
  shape: Shape,
  index: number,
): void {
  const [channels, height, width] = shape;
  const area = height * width;
  put(canvas, area, (i) => {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += signed[(index * channels + c) * area + i]!;
    const value = sum / channels / 127;
    const end = value < 0 ? DARKER : LIGHTER;
    const mixed = (c: 0 | 1 | 2) => NONE[c] + Math.abs(value) * (end[c] - NONE[c]);
    return [mixed(0), mixed(1), mixed(2)];
  });
}

/** Paint nothing. */
export function blank(canvas: HTMLCanvasElement): void {
  canvas.getContext("2d")!.clearRect(0, 0, canvas.width, canvas.height);
}

function put(
  canvas: HTMLCanvasElement,
  area: number,
  colour: (place: number) => [number, number, number],
): void {
  const data = new ImageData(canvas.width, canvas.height);
  for (let i = 0; i < area; i++) data.data.set([...colour(i), 255], 4 * i);
  canvas.getContext("2d")!.putImageData(data, 0, 0);
}
