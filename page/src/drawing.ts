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
  /** How many squares of each pixel are white. */
  private readonly ink: Uint8Array;
  private readonly wide: number;
  private readonly tall: number;
  /** A picture that was put in whole, -1 ... 1, below the strokes. */
  private ground: Float32Array;
  /** x0, until something changes. */
  private made: Float32Array | null = null;

  constructor(private readonly shape: Shape) {
    [this.tall, this.wide] = [shape[1] * FINE, shape[2] * FINE];
    this.fine = new Uint8Array(this.tall * this.wide);
    this.ink = new Uint8Array(shape[1] * shape[2]);
    this.ground = new Float32Array(shape[0] * shape[1] * shape[2]).fill(-1);
  }

  clear(): void {
    this.erase();
    this.ground.fill(-1);
  }

  /** Begin from a finished picture, bytes (C, H, W). */
  put(picture: Uint8Array): void {
    this.erase();
    this.ground = new Float32Array(picture).map((byte) => byte / 127.5 - 1);
  }

  /** A stroke of the pen between two places. */
  stroke(from: Place, to: Place): void {
    const radius = Math.max(LEAST * FINE, PEN * Math.min(this.wide, this.tall));
    const length = Math.hypot((to.x - from.x) * this.wide, (to.y - from.y) * this.tall);
    // So close that the edge between two of them is straight to 1/128 of the radius.
    const dots = Math.max(1, Math.ceil(length / Math.max(2, radius / 4)));
    this.made = null;
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
    this.made = null;
    for (let y = row * FINE; y < (row + 1) * FINE; y++) {
      const start = y * this.wide + column * FINE;
      this.fine.fill(white ? 1 : 0, start, start + FINE);
    }
    const [channels, height, width] = this.shape;
    const place = row * width + column;
    this.ink[place] = white ? FINE ** 2 : 0;
    if (white) return;
    for (let c = 0; c < channels; c++) this.ground[c * height * width + place] = -1;
  }

  /** x0 of the drawing, C * H * W floats in [-1, 1]: white on what is below. Not to be written to. */
  x0(): Float32Array {
    const area = this.ink.length;
    this.made ??= this.ground.map((below, i) => {
      return below + (this.ink[i % area]! / FINE ** 2) * (1 - below);
    });
    return this.made;
  }

  private erase(): void {
    this.made = null;
    this.fine.fill(0);
    this.ink.fill(0);
  }

  private dot(x: number, y: number, radius: number): void {
    const last = Math.min(this.tall - 1, Math.floor(y + radius));
    for (let row = Math.max(0, Math.floor(y - radius)); row <= last; row++) {
      const half = Math.sqrt(radius ** 2 - (row + 0.5 - y) ** 2); // NaN where no square is inside
      const end = Math.min(this.wide - 1, Math.floor(x + half - 0.5));
      for (let column = Math.max(0, Math.ceil(x - half - 0.5)); column <= end; column++) {
        this.whiten(column, row);
      }
    }
  }

  private whiten(column: number, row: number): void {
    const square = row * this.wide + column;
    if (this.fine[square] === 1) return;
    this.fine[square] = 1;
    this.ink[Math.floor(row / FINE) * this.shape[2] + Math.floor(column / FINE)]! += 1;
  }
}
