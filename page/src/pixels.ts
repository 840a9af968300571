/** From floats in [-1, 1] to the bytes of a picture, and how large a tensor is. */

/** Bytes 0 ... 255 of `x` in [-1, 1], held at either end. */
export function toBytes(x: Float32Array): Uint8Array {
  return Uint8Array.from(x, (value) =>
    Math.min(255, Math.max(0, roundHalfEven((value + 1) * 127.5))),
  );
}

function roundHalfEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** The largest absolute value of each image of `x`, of `size` values. */
export function largestOf(x: Float32Array, size: number): number[] {
  return Array.from({ length: x.length / size }, (_, i) =>
    x
      .subarray(i * size, (i + 1) * size)
      .reduce((most, value) => Math.max(most, Math.abs(value)), 0),
  );
}

/** Each image of `x`, of `size` values, divided by its `largest` absolute value: -127 ... 127. */
export function toSigned(x: Float32Array, size: number, largest: readonly number[]): Int8Array {
  return Int8Array.from(x, (value, i) => {
    const most = largest[Math.floor(i / size)]!;
    return most > 0 ? Math.round((value / most) * 127) : 0;
  });
}

/** The root mean square of each image of `x`, of `size` values. */
export function rootMeanSquares(x: Float32Array, size: number): number[] {
  return Array.from({ length: x.length / size }, (_, i) => {
    const image = x.subarray(i * size, (i + 1) * size);
    return Math.sqrt(image.reduce((sum, value) => sum + value * value, 0) / size);
  });
}
