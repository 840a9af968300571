/** All inference: the page never waits for a network. */

import { Lanes } from "./lanes.ts";
import type { Lane, Part, Reply, Request, WalkRequest } from "./messages.ts";
import type { GuidedStep } from "./model.ts";
import { isMemory, type Opened, open } from "./open.ts";
import { PairError } from "./pair.ts";
import { answer } from "./requests.ts";
import { WalkError } from "./walk.ts";

let model: GuidedStep | null = null;

/** What is asked for while the model still loads, the newest of each lane. */
const early = new Map<Lane, WalkRequest>();

const lanes = new Lanes<Lane, Part>([["guided", "unguided"], ["edit"], ["strip"]], listened);

self.onmessage = ({ data }: MessageEvent<Request>) => {
  if (data.kind === "open") {
    void opened(data.folder);
  } else if (data.kind === "see") {
    lanes.see(data.lanes);
  } else if (model === null) {
    early.set(data.lane, data);
  } else {
    start(model, data);
  }
};

function start(opened: GuidedStep, request: WalkRequest): void {
  const { lane, id } = request;
  lanes.start(lane, answer(opened, request), {
    part: (part) => tell({ kind: "part", lane, id, part }),
    done: () => tell({ kind: "done", lane, id }),
    failed: (error) => tell({ kind: "failed", lane, id, sentence: sentence(error) }),
  });
}

async function opened(folder: string): Promise<void> {
  let made: Opened;
  try {
    made = await open(folder, {
      described: (pair) => tell({ kind: "described", pair }),
      loading: (bytes, of) => tell({ kind: "loading", bytes, of }),
    });
  } catch (error) {
    tell({ kind: "failed", lane: null, id: 0, sentence: sentence(error) });
    return;
  }
  model = made.model;
  tell({ kind: "opened" });
  for (const request of early.values()) start(model, request);
  early.clear();
  if (await made.keep()) tell({ kind: "kept" });
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
