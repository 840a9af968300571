import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Asked, Engine } from "../../src/engine.ts";
import type { Reply } from "../../src/messages.ts";

const OPENING = {
  described: vi.fn(),
  loading: vi.fn(),
  opened: vi.fn(),
  kept: vi.fn(),
  lost: vi.fn(),
};
const ROW: Asked = {
  ...{ kind: "row", lane: "guided", count: 1 },
  ...{ weights: [1], scale: 1, steps: 1, eta: 0, seed: 0 },
};
const STEP = { kind: "step" } as const;

let worker: Worker;
let engine: Engine;

beforeEach(() => {
  vi.clearAllMocks();
  vi.stubGlobal(
    "Worker",
    class {
      constructor() {
        worker = this as unknown as Worker;
      }

      postMessage(): void {}
    },
  );
  engine = new Engine(new URL("https://here/model/"), OPENING);
});

afterEach(() => vi.unstubAllGlobals());

/** The worker says so. */
function says(reply: Reply): void {
  worker.onmessage!({ data: reply } as MessageEvent);
}

test("of a walk that a newer one took the place of nothing more is told", () => {
  const [older, newer] = [0, 1].map(() => ({ part: vi.fn(), failed: vi.fn(), done: vi.fn() }));
  engine.ask(ROW, older!);
  engine.ask(ROW, newer!);
  says({ kind: "part", lane: "guided", id: 1, part: STEP });
  says({ kind: "failed", lane: "guided", id: 1, sentence: "old" });
  says({ kind: "done", lane: "guided", id: 1 });
  says({ kind: "part", lane: "guided", id: 2, part: STEP });
  says({ kind: "failed", lane: "guided", id: 2, sentence: "new" });
  for (const each of Object.values(older!)) expect(each).not.toHaveBeenCalled();
  expect(newer!.part).toHaveBeenCalledOnce();
  expect(newer!.failed).toHaveBeenCalledWith("new");
  expect(newer!.done).toHaveBeenCalledOnce();
});

test("a worker that fails before and after the model is there is called so", () => {
  const error = { preventDefault: () => {}, message: "no memory" } as unknown as ErrorEvent;
  worker.onerror!(error);
  expect(OPENING.lost).toHaveBeenLastCalledWith(expect.stringContaining("does not start"));
  says({ kind: "opened" });
  worker.onerror!(error);
  expect(OPENING.lost).toHaveBeenLastCalledWith(expect.stringContaining("broke off"));
});
