/**
 * Work in lanes: small steps of several tasks in turn, until a newer task takes a lane over.
 *
 * Between two steps the worker listens, so that a newer request cancels an older one at once.
 */

export interface Report<Part> {
  readonly part: (part: Part) => void;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

interface Task<Part> {
  readonly work: AsyncGenerator<Part>;
  readonly report: Report<Part>;
}

export class Lanes<Name extends string, Part> {
  private readonly tasks = new Map<Name, Task<Part>>();
  private running = false;
  private turn = 0;
  private seen: readonly Name[] = [];

  /**
   * order: groups of lanes; a group works only while those before it have nothing to do.
   * listen: resolves once newer requests were heard.
   */
  constructor(
    private readonly order: readonly (readonly Name[])[],
    private readonly listen: () => Promise<void>,
  ) {}

  /** Let `work` take over the lane `name`; what it makes is told to `report`. */
  start(name: Name, work: AsyncGenerator<Part>, report: Report<Part>): void {
    this.tasks.set(name, { work, report });
    if (!this.running) void this.run();
  }

  /** From now on the lanes `seen` come before all others: the user looks at them. */
  see(seen: readonly Name[]): void {
    this.seen = seen;
  }

  private async run(): Promise<void> {
    this.running = true;
    for (let name = this.next(); name !== null; name = this.next()) {
      await this.step(name, this.tasks.get(name)!);
      await this.listen();
    }
    this.running = false;
  }

  private async step(name: Name, task: Task<Part>): Promise<void> {
    const current = () => this.tasks.get(name) === task;
    try {
      const { value, done } = await task.work.next();
      if (!current()) return; // A newer task took the lane over while the step ran.
      if (!done) return task.report.part(value);
      this.tasks.delete(name);
      task.report.done();
    } catch (error) {
      if (!current()) return; // What failed is not wanted any more.
      this.tasks.delete(name);
      task.report.failed(error);
    }
  }

  /** The lane whose turn it is: those of the first busy group take turns. */
  private next(): Name | null {
    const seen = this.order.map((group) => group.filter((name) => this.seen.includes(name)));
    for (const group of [...seen, ...this.order]) {
      const busy = group.filter((name) => this.tasks.has(name));
      if (busy.length > 0) return busy[this.turn++ % busy.length]!;
    }
    return null;
  }
}
