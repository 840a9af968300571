/** From the bytes of a picture to the colours of a canvas: RGBA, 4 bytes a pixel. */

import type { Shape } from "./pair.ts";

/** What lies under a gradient of 0, and its two ends: darker, lighter. */
const [NONE, DARKER, LIGHTER] = [
  [22, 22, 26],
  [72, 149, 239],
  [255, 140, 66],
] as const;

/** Image `index` of `bytes` (B, C, H, W); one channel is grey. */
export function colours(
  bytes: Uint8Array,
  shape: Shape,
  index: number,
): Uint8ClampedArray<ArrayBuffer> {
  const { channels, area, start, rgba } = opaque(shape, index);
  const apart = channels === 3 ? area : 0;
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = bytes[start + c * apart + i]!;
  }
  return rgba;
}

/**
 * Image `index` of a gradient (B, C, H, W) in -127 ... 127: blue is darker, orange lighter.
 *
 * bright: the share of the full colour, 0 ... 1, that 127 has.
 */
export function signedColours(
  signed: Int8Array,
  shape: Shape,
  index: number,
  bright: number,
): Uint8ClampedArray<ArrayBuffer> {
  const { channels, area, start, rgba } = opaque(shape, index);
  for (let i = 0; i < area; i++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += signed[start + c * area + i]!;
    const value = (bright * sum) / channels / 127;
    const end = value < 0 ? DARKER : LIGHTER;
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = NONE[c]! + Math.abs(value) * (end[c]! - NONE[c]!);
  }
  return rgba;
}

/** The canvas that image `index` of a tensor is painted to, white so far, and where the image begins. */
function opaque([channels, height, width]: Shape, index: number) {
  const area = height * width;
  const rgba = new Uint8ClampedArray(4 * area).fill(255);
  return { channels, area, start: index * channels * area, rgba };
}
