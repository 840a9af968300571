/**
 * Noise with an address: each image has a random stream of its own, keyed by (seed, image index).
 *
 * The same numbers as `SeededNoise` of the Python package: Philox-4x32-10, counter-based, Salmon et
 * al. 2011 (doi:10.1145/2063384.2063405), and Box and Muller's normals, rounded to float32 where
 * Python rounds.
 */

type Words = [number, number, number, number];

const TWO_32 = 2 ** 32;
const ROUNDS = 10;
const TURN = Math.fround((2 * Math.PI) / TWO_32);

/** Standard normal noise for the images `index`: each call gives the next draw, B * size floats. */
export class SeededNoise {
  private draws = 0;

  constructor(
    private readonly seed: number,
    private readonly index: readonly number[],
    private readonly size: number,
  ) {}

  next(): Float32Array {
    const noise = new Float32Array(this.index.length * this.size);
    this.index.forEach((image, row) => {
      noise.set(normals(this.seed, image, this.draws, this.size), row * this.size);
    });
    this.draws += 1;
    return noise;
  }
}

/** The `draw`-th draw of the stream (seed, image): `size` standard normals. */
export function normals(seed: number, image: number, draw: number, size: number): Float32Array {
  const places = Math.ceil(size / 4);
  const four = new Float32Array(4 * places);
  for (let place = 0; place < places; place++) {
    const [a, b, c, d] = philox([place, draw, low(image), high(image)], [low(seed), high(seed)]);
    [four[place], four[places + place]] = boxMuller(a, b);
    [four[2 * places + place], four[3 * places + place]] = boxMuller(c, d);
  }
  return four.subarray(0, size);
}

/** Four random 32-bit words from four counter words and a key of two. */
export function philox(counter: Words, key: readonly [number, number]): Words {
  let [a, b, c, d] = counter;
  let [keyLow, keyHigh] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const [leftHigh, leftLow] = product(a, 0xd2511f53);
    const [rightHigh, rightLow] = product(c, 0xcd9e8d57);
    a = (rightHigh ^ b ^ keyLow) >>> 0;
    b = rightLow;
    c = (leftHigh ^ d ^ keyHigh) >>> 0;
    d = leftLow;
    keyLow = (keyLow + 0x9e3779b9) >>> 0;
    keyHigh = (keyHigh + 0xbb67ae85) >>> 0;
  }
  return [a, b, c, d];
}

/** The 64-bit product of two 32-bit words: [high, low]. */
function product(a: number, b: number): [number, number] {
  // A double holds 53 bits: `a` is multiplied in halves of 16, so that no sum is rounded.
  const lower = (a & 0xffff) * b;
  const upper = (a >>> 16) * b + Math.floor(lower / 0x10000);
  return [Math.floor(upper / 0x10000), Math.imul(a, b) >>> 0];
}

/** Two independent standard normals from two uniform 32-bit words. */
function boxMuller(a: number, b: number): [number, number] {
  const uniform = Math.fround(Math.fround(Math.fround(a) / TWO_32) + 2 ** -33);
  const radius = Math.fround(Math.sqrt(Math.fround(-2 * Math.fround(Math.log(uniform)))));
  const turn = Math.fround(Math.fround(b) * TURN);
  return [radius * Math.fround(Math.cos(turn)), radius * Math.fround(Math.sin(turn))];
}

function low(word: number): number {
  return word >>> 0;
}

function high(word: number): number {
  return Math.floor(word / TWO_32) >>> 0;
}
