/** Fetch the pair, see that both of its files belong together, and keep them for offline use. */

import WASM from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import { download, type Wanted, whole } from "./download.ts";
import { keep } from "./keep.ts";
import { GuidedStep } from "./model.ts";
import { type Pair, PairError, readPair } from "./pair.ts";

export interface Progress {
  /** The description is read; the model comes next. */
  readonly described: (pair: Pair) => void;
  readonly loading: (bytes: number, of: number) => void;
}

export interface Opened {
  readonly model: GuidedStep;
  /** Keeps both files for offline use; false where this browser keeps nothing. */
  readonly keep: () => Promise<boolean>;
}

/** As `cgd export` has it; that of the most timesteps, on two schedules, has half of them. */
const MOST_JSON = 2 ** 24;
/** Of onnxruntime's WebAssembly, 12.4 MB. */
const MOST_WASM = 2 ** 26;

/** The model in `folder`, an address with a slash at its end. */
export async function open(folder: string, progress: Progress): Promise<Opened> {
  // onnxruntime comes beside the model; if both fail, the model's sentence is said.
  const runtime = wasm();
  runtime.catch(() => {});
  const json = await whole(file(new URL("pair.json", folder)), MOST_JSON);
  const pair = readPair(parsed(new TextDecoder().decode(json)));
  progress.described(pair);
  // The hash makes another address of another model, so that no cache ever mixes two.
  const address = new URL(`${pair.model.file}?sha256=${pair.model.sha256}`, folder);
  const graph = await bytesOf(download(file(address)), pair, progress);
  await check(graph, pair);
  const model = await session(pair, graph, await runtime);
  return { model, keep: () => keep(json, address, graph, () => self.caches) };
}

/** A file of the model. */
function file(address: URL): Wanted {
  return {
    address,
    name: `model/${address.pathname.split("/").pop()}`,
    absent: "put the files of cgd export --to onnx into the page's model folder",
  };
}

function wasm(): Promise<Uint8Array<ArrayBuffer>> {
  const address = new URL(WASM, self.location.href);
  const name = `assets/${address.pathname.split("/").pop()}`;
  return whole({ address, name, absent: "copy all files of the page" }, MOST_WASM);
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw new PairError("model/pair.json is not JSON; export the model again.");
  }
}

/** All `parts`, of exactly the size that the pair says. */
export async function bytesOf(
  parts: AsyncIterable<Uint8Array>,
  pair: Pick<Pair, "model">,
  progress: Pick<Progress, "loading">,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(pair.model.bytes);
  let length = 0;
  for await (const part of parts) {
    if (length + part.length > bytes.length) throw other(pair);
    bytes.set(part, length);
    length += part.length;
    progress.loading(length, bytes.length);
  }
  if (length < bytes.length) throw other(pair);
  return bytes;
}

async function check(graph: Uint8Array<ArrayBuffer>, pair: Pair): Promise<void> {
  // Browsers hash only on https and on this machine; elsewhere the size has to do.
  if (!isSecureContext) return;
  const digest = await crypto.subtle.digest("SHA-256", graph);
  const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0"));
  if (hex.join("") !== pair.model.sha256) throw other(pair);
}

function other(pair: Pick<Pair, "model">): PairError {
  return new PairError(
    `model/${pair.model.file} is not the file that model/pair.json describes (its size or SHA-256 ` +
      "differs); copy both files of one export together.",
  );
}

async function session(
  pair: Pair,
  graph: Uint8Array,
  runtime: Uint8Array<ArrayBuffer>,
): Promise<GuidedStep> {
  try {
    return await GuidedStep.open(pair, graph, runtime);
  } catch (error) {
    if (error instanceof PairError) throw error;
    throw new PairError(
      isMemory(error)
        ? "This device has too little free memory for the model; close other tabs, then reload."
        : `The model does not load in onnxruntime; export it again. It says: ${String(error)}`,
    );
  }
}

/** Whether `error` says that memory ran out, as browsers and onnxruntime word it. */
export function isMemory(error: unknown): boolean {
  return (
    error instanceof RangeError ||
    /out of memory|bad_alloc|allocat|enlarge memory/i.test(String(error))
  );
}
