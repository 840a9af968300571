/**
 * A drawing in fine squares, and the same in the model's pixels.
 *
 * Every pixel of the model is made of FINE x FINE squares, so that the edge of a stroke is grey.
 */

import type { Shape } from "./pair.ts";

const FINE = 8;
/** Half the width of the pen, as a share of the picture's side; and at least in pixels. */
const PEN = 0.07;
const LEAST = 0.75;

/** A place on the picture, each from 0 to 1. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

export class Drawing {
  private readonly fine: Uint8Array;
  private readonly wide: number;
  private readonly tall: number;
  /** A picture that was put in whole, -1 ... 1, below the strokes. */
  private ground: Float32Array;

  constructor(private readonly shape: Shape) {
    [, this.tall, this.wide] = [0, shape[1] * FINE, shape[2] * FINE];
    this.fine = new Uint8Array(this.tall * this.wide);
    this.ground = new Float32Array(shape[0] * shape[1] * shape[2]).fill(-1);
  }

  clear(): void {
    this.fine.fill(0);
    this.ground.fill(-1);
  }

  /** Begin from a finished picture, bytes (C, H, W). */
  put(picture: Uint8Array): void {
    this.fine.fill(0);
    this.ground = Float32Array.from(picture, (byte) => byte / 127.5 - 1);
  }

  /** A stroke of the pen between two places. */
  stroke(from: Place, to: Place): void {
    const radius = Math.max(LEAST * FINE, PEN * Math.min(this.wide, this.tall));
    const length = Math.hypot((to.x - from.x) * this.wide, (to.y - from.y) * this.tall);
    const dots = Math.max(1, Math.ceil(length / 2));
    for (let i = 0; i <= dots; i++) {
      const share = i / dots;
      this.dot(
        (from.x + share * (to.x - from.x)) * this.wide,
        (from.y + share * (to.y - from.y)) * this.tall,
        radius,
      );
    }
  }

  /** Make one pixel of the model white, or black. */
  pixel(column: number, row: number, white: boolean): void {
    for (let y = row * FINE; y < (row + 1) * FINE; y++) {
      this.fine.fill(
        white ? 1 : 0,
        y * this.wide + column * FINE,
        y * this.wide + (column + 1) * FINE,
      );
    }
    const area = this.shape[1] * this.shape[2];
    if (white) return;
    for (let c = 0; c < this.shape[0]; c++)
      this.ground[c * area + row * this.shape[2] + column] = -1;
  }

  /** x0 of the drawing, C * H * W floats in [-1, 1]: white on what is below. */
  x0(): Float32Array {
    const [channels, height, width] = this.shape;
    const x0 = new Float32Array(channels * height * width);
    for (let place = 0; place < height * width; place++) {
      const ink = this.ink(place % width, Math.floor(place / width));
      for (let c = 0; c < channels; c++) {
        const below = this.ground[c * height * width + place]!;
        x0[c * height * width + place] = below + ink * (1 - below);
      }
    }
    return x0;
  }

  /** The share of a pixel's squares that are white. */
  private ink(column: number, row: number): number {
    let white = 0;
    for (let y = row * FINE; y < (row + 1) * FINE; y++) {
      for (let x = column * FINE; x < (column + 1) * FINE; x++)
        white += this.fine[y * this.wide + x]!;
    }
    return white / FINE ** 2;
  }

  private dot(x: number, y: number, radius: number): void {
    for (let row = Math.floor(y - radius); row <= y + radius; row++) {
      for (let column = Math.floor(x - radius); column <= x + radius; column++) {
        const inside = (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= radius ** 2;
        const there = row >= 0 && row < this.tall && column >= 0 && column < this.wide;
        if (inside && there) this.fine[row * this.wide + column] = 1;
      }
    }
  }
}
