/** How long a step takes the worker, from the times at which it tells of them. */

/** How much the newest step counts. */
const SHARE = 0.2;

export class Tempo {
  private last = 0;
  private mean: number | null = null;

  /** A step was told. idle: whether the worker had something else to do, or nothing, before it. */
  told(now: number, idle: boolean): void {
    const took = now - this.last;
    this.last = now;
    if (idle) return;
    this.mean = this.mean === null ? took : this.mean + SHARE * (took - this.mean);
  }

  /** Milliseconds that `steps` steps take; null before anything was measured. */
  of(steps: number): number | null {
    return this.mean === null ? null : this.mean * steps;
  }
}
