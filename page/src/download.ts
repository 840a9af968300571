/** The parts of a file, as they come; a server that is gone or silent is said in a sentence. */

import { PairError } from "./pair.ts";

/** A server that sends nothing for so long, in milliseconds, will not go on. */
const SILENCE = 30_000;

export interface Wanted {
  readonly address: URL;
  /** What it is called in a sentence. */
  readonly name: string;
  /** What helps where it is not there. */
  readonly absent: string;
}

/** Throws PairError for a file that is not there, breaks off, or stands still for `silence`. */
export async function* download(
  { address, name, absent }: Wanted,
  silence = SILENCE,
): AsyncGenerator<Uint8Array> {
  const halt = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const awaited = async <T>(answer: Promise<T>, otherwise: string): Promise<T> => {
    timer = setTimeout(() => halt.abort(), silence);
    try {
      return await answer;
    } catch {
      const seconds = Math.round(silence / 1000);
      throw new PairError(
        halt.signal.aborted
          ? `${name} came to a halt, for the server sent nothing for ${seconds} seconds; reload the page.`
          : `${name} ${otherwise}; is the server still there? Reload the page.`,
      );
    } finally {
      clearTimeout(timer);
    }
  };
  const response = await awaited(fetch(address, { signal: halt.signal }), "cannot be reached");
  if (!response.ok) {
    throw new PairError(`${name} is not there (the server says ${response.status}); ${absent}.`);
  }
  const reader = response.body!.getReader();
  try {
    for (;;) {
      const part = await awaited(reader.read(), "broke off");
      if (part.done) return;
      yield part.value;
    }
  } finally {
    halt.abort();
  }
}

/** The whole file. Throws PairError for one of over `most` bytes, too. */
export async function whole(wanted: Wanted, most: number): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of download(wanted)) {
    length += part.length;
    if (length > most)
      throw new PairError(`${wanted.name} has over ${most} bytes; ${wanted.absent}.`);
    parts.push(part);
  }
  const bytes = new Uint8Array(length);
  let place = 0;
  for (const part of parts) {
    bytes.set(part, place);
    place += part.length;
  }
  return bytes;
}
