/** Both files of the model in the browser's own store, where the service worker finds them. */

import { KEPT } from "./kept.ts";

/**
 * Keep `json`, the description, and `graph`, of this `address`; false where the browser keeps nothing.
 *
 * The description comes after its graph, and older graphs go last: what breaks off in between
 * leaves a description beside the graph that it names.
 */
export async function keep(
  json: Uint8Array<ArrayBuffer>,
  address: URL,
  graph: Uint8Array<ArrayBuffer>,
  store: () => CacheStorage | undefined,
): Promise<boolean> {
  const folder = new URL(".", address);
  const description = new URL("pair.json", folder);
  try {
    const cache = await store()?.open(KEPT);
    if (cache === undefined) return false; // There is none without https.
    await cache.put(address, new Response(graph));
    const headers = { "Content-Type": "application/json" };
    await cache.put(description, new Response(json, { headers }));
    for (const { url } of await cache.keys()) {
      const current = url === address.href || url === description.href;
      if (url.startsWith(folder.href) && !current) await cache.delete(url);
    }
    return true;
  } catch {
    return false; // It is forbidden or full.
  }
}
