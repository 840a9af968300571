/** The worker as the page sees it: ask, and be told. */

import type { Lane, Part, Reply, Request, WalkRequest } from "./messages.ts";
import type { Pair } from "./pair.ts";

export interface Opening {
  /** What the model is. It still loads, and walks that are asked for begin once it is there. */
  readonly described: (pair: Pair) => void;
  readonly loading: (share: number) => void;
  readonly opened: () => void;
  /** The model is there without a network from now on. */
  readonly kept: () => void;
  /** There will be no model. */
  readonly lost: (sentence: string) => void;
}

export interface Answer {
  readonly part: (part: Part) => void;
  /** The walk broke off; it is done, too. */
  readonly failed: (sentence: string) => void;
  readonly done: () => void;
}

/** `Request` without its number, of each kind. */
export type Asked = WalkRequest extends infer R
  ? R extends WalkRequest
    ? Omit<R, "id">
    : never
  : never;

export class Engine {
  private readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private readonly answers = new Map<Lane, { id: number; answer: Answer }>();
  private asked = 0;
  private isOpen = false;

  constructor(folder: URL, opening: Opening) {
    this.worker.onmessage = ({ data }: MessageEvent<Reply>) => this.told(data, opening);
    this.worker.onerror = (event) => {
      event.preventDefault();
      const what = this.isOpen ? "broke off" : "does not start";
      opening.lost(`The page's worker ${what}; reload the page. ${event.message ?? ""}`);
    };
    this.tell({ kind: "open", folder: folder.href });
  }

  /** Ask for a walk. What its lane did before is cancelled, and tells no more. */
  ask(request: Asked, answer: Answer): void {
    const id = ++this.asked;
    this.answers.set(request.lane, { id, answer });
    this.tell({ ...request, id });
  }

  /** Work first on what the user looks at. */
  see(lanes: readonly Lane[]): void {
    this.tell({ kind: "see", lanes });
  }

  private told(reply: Reply, opening: Opening): void {
    switch (reply.kind) {
      case "described":
        opening.described(reply.pair);
        break;
      case "loading":
        opening.loading(reply.bytes / reply.of);
        break;
      case "opened":
        this.isOpen = true;
        opening.opened();
        break;
      case "kept":
        opening.kept();
        break;
      case "failed":
        if (reply.lane === null) {
          opening.lost(reply.sentence);
        } else {
          const answer = this.current(reply.lane, reply.id);
          answer?.failed(reply.sentence);
          answer?.done();
        }
        break;
      case "part":
        this.current(reply.lane, reply.id)?.part(reply.part);
        break;
      case "done":
        this.current(reply.lane, reply.id)?.done();
        break;
    }
  }

  /** Who waits for the walk `id` of a lane; nobody if a newer one took its place. */
  private current(lane: Lane, id: number): Answer | null {
    const waiting = this.answers.get(lane);
    return waiting?.id === id ? waiting.answer : null;
  }

  private tell(request: Request): void {
    this.worker.postMessage(request);
  }
}
