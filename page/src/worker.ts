/** All inference: the page never waits for a network. */

import { Lanes } from "./lanes.ts";
import type { Lane, Part, Reply, Request } from "./messages.ts";
import type { GuidedStep } from "./model.ts";
import { isMemory, open } from "./open.ts";
import { PairError } from "./pair.ts";
import { answer } from "./requests.ts";
import { WalkError } from "./walk.ts";

let model: GuidedStep | null = null;

const lanes = new Lanes<Lane, Part>([["guided", "unguided"], ["edit"], ["strip"]], listened);

self.onmessage = ({ data }: MessageEvent<Request>) => {
  if (data.kind === "open") {
    void opened(data.folder);
  } else if (data.kind === "stop") {
    lanes.stop(data.lane);
  } else if (model !== null) {
    const { lane, id } = data;
    lanes.start(lane, answer(model, data), {
      part: (part) => tell({ kind: "part", lane, id, part }),
      done: () => tell({ kind: "done", lane, id }),
      failed: (error) => tell({ kind: "failed", lane, id, sentence: sentence(error) }),
    });
  }
};

async function opened(folder: string): Promise<void> {
  try {
    const made = await open(folder, (bytes, of) => tell({ kind: "loading", bytes, of }));
    model = made.model;
    tell({ kind: "opened", pair: model.pair });
    if (await made.keep()) tell({ kind: "kept" });
  } catch (error) {
    tell({ kind: "failed", lane: null, id: 0, sentence: sentence(error) });
  }
}

function sentence(error: unknown): string {
  if (error instanceof PairError || error instanceof WalkError) return error.message;
  if (isMemory(error)) {
    return "This device ran out of memory; close other tabs, take fewer steps, and reload.";
  }
  return `The step could not be computed; reload the page. onnxruntime says: ${String(error)}`;
}

/** Resolves once all messages that have come in were handled. */
function listened(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

function tell(reply: Reply): void {
  postMessage(reply);
}
