/** Fetch the pair, see that both of its files belong together, and keep them for offline use. */

import { GuidedStep } from "./model.ts";
import { type Pair, PairError, readPair } from "./pair.ts";

/** The cache that the service worker answers from. */
export const KEPT = "cgd-model";

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

/** The model in `folder`, an address with a slash at its end. */
export async function open(folder: string, progress: Progress): Promise<Opened> {
  const described = await fetched(new URL("pair.json", folder));
  const json = await described.clone().text();
  const pair = readPair(parsed(json));
  progress.described(pair);
  // The hash makes another address of another model, so that no cache ever mixes two.
  const address = new URL(`${pair.model.file}?sha256=${pair.model.sha256}`, folder);
  const graph = await bytesOf(await fetched(address), pair, progress);
  await check(graph, pair);
  const model = await session(pair, graph);
  return { model, keep: () => keep(described, address, graph) };
}

async function fetched(address: URL): Promise<Response> {
  const name = address.pathname.split("/").pop();
  let response: Response;
  try {
    response = await fetch(address);
  } catch {
    throw new PairError(`model/${name} cannot be reached; is the server still there?`);
  }
  if (response.ok) return response;
  throw new PairError(
    `model/${name} is not there (the server says ${response.status}); ` +
      "put the files of cgd export --to onnx into the page's model folder.",
  );
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw new PairError("model/pair.json is not JSON; export the model again.");
  }
}

/** The body of `response`, of exactly the size that the pair says. */
async function bytesOf(response: Response, pair: Pair, progress: Progress): Promise<Uint8Array> {
  const whole = new Uint8Array(pair.model.bytes);
  let length = 0;
  const reader = response.body!.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (length + part.value.length > whole.length) throw other(pair);
    whole.set(part.value, length);
    length += part.value.length;
    progress.loading(length, whole.length);
  }
  if (length < whole.length) throw other(pair);
  return whole;
}

async function check(graph: Uint8Array, pair: Pair): Promise<void> {
  // Browsers hash only on https and on this machine; elsewhere the size has to do.
  if (!isSecureContext) return;
  const digest = await crypto.subtle.digest("SHA-256", graph as Uint8Array<ArrayBuffer>);
  const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0"));
  if (hex.join("") !== pair.model.sha256) throw other(pair);
}

function other(pair: Pair): PairError {
  return new PairError(
    `model/${pair.model.file} is not the file that model/pair.json describes (its size or SHA-256 ` +
      "differs); copy both files of one export together.",
  );
}

async function session(pair: Pair, graph: Uint8Array): Promise<GuidedStep> {
  try {
    return await GuidedStep.open(pair, graph);
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

/** Put both files where the service worker finds them. */
async function keep(described: Response, address: URL, graph: Uint8Array): Promise<boolean> {
  if (!("caches" in self)) return false;
  const cache = await caches.open(KEPT);
  const folder = new URL(".", address).href;
  for (const kept of await cache.keys()) {
    if (kept.url.startsWith(folder) && kept.url !== address.href) await cache.delete(kept);
  }
  try {
    await cache.put(described.url, described);
    await cache.put(address, new Response(graph as Uint8Array<ArrayBuffer>));
  } catch (error) {
    if (error instanceof DOMException) return false; // The browser's quota is used up.
    throw error;
  }
  return true;
}
