/** From floats to the bytes of a picture, and how large a tensor is. */

/** Bytes 0 ... 255 of `x` in [-1, 1], held at either end. */
export function toBytes(x: Float32Array): Uint8Array {
  const bytes = new Uint8Array(x.length);
  for (let i = 0; i < x.length; i++) {
    bytes[i] = Math.min(255, Math.max(0, roundHalfEven((x[i]! + 1) * 127.5)));
  }
  return bytes;
}

function roundHalfEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** The largest absolute value of each image of `x`, of `size` values. */
export function largestOf(x: Float32Array, size: number): number[] {
  return images(x, size).map((image) =>
    image.reduce((most, value) => Math.max(most, Math.abs(value)), 0),
  );
}

/** Each image of `x`, of `size` values, divided by its `largest` absolute value: -127 ... 127. */
export function toSigned(x: Float32Array, size: number, largest: readonly number[]): Int8Array {
  const signed = new Int8Array(x.length);
  for (let i = 0; i < x.length; i++) {
    const most = largest[Math.floor(i / size)]!;
    if (most > 0) signed[i] = Math.round((x[i]! / most) * 127);
  }
  return signed;
}

/** The root mean square of each image of `x`, of `size` values. */
export function rootMeanSquares(x: Float32Array, size: number): number[] {
  return images(x, size).map((image) =>
    Math.sqrt(image.reduce((sum, value) => sum + value * value, 0) / size),
  );
}

function images(x: Float32Array, size: number): Float32Array[] {
  return Array.from({ length: x.length / size }, (_, i) => x.subarray(i * size, (i + 1) * size));
}
