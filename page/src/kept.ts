/** What of the page is kept for use without a network, and where. */

/** The cache of the models: the worker that opens them fills it, the service worker answers from it. */
export const KEPT = "cgd-model";

/** Of an address: where in the cache it lies, and whether the network is asked first. */
export interface Place {
  readonly cache: string;
  readonly address: string;
  readonly fresh: boolean;
}

/**
 * Where the answer to `url` lies; null for what is none of the page's.
 *
 * scope: the folder of the page, with a slash at its end. files: of the page, in it, kept in
 * `cache`. A build puts a hash into the names in assets/; all else may change under its name.
 */
export function placeOf(
  url: string,
  scope: string,
  files: readonly string[],
  cache: string,
): Place | null {
  const { origin, pathname } = new URL(url);
  const address = origin + pathname;
  if (!address.startsWith(scope)) return null;
  const file = address.slice(scope.length);
  if (file.startsWith("model/"))
    return { cache: KEPT, address: url, fresh: file.endsWith(".json") };
  if (file === "" || file === "index.html") return { cache, address: scope, fresh: true };
  if (!files.includes(file)) return null;
  return { cache, address, fresh: !file.startsWith("assets/") };
}

/** What the network gives, or `old` where it fails, or gives nothing for so many milliseconds. */
export async function networkOr<T>(
  network: Promise<T>,
  old: T | undefined,
  milliseconds: number,
): Promise<T> {
  if (old === undefined) return network;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<T>((resolve) => {
    timer = setTimeout(() => resolve(old), milliseconds);
  });
  try {
    return await Promise.race([network.catch(() => old), patience]);
  } finally {
    clearTimeout(timer);
  }
}
