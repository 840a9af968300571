/** The service worker: the page and its model from the browser's own store, without a network. */

/// <reference lib="webworker" />

/** The build puts in all files of the page, and a hash of them. */
declare const __FILES__: readonly string[];
declare const __VERSION__: string;

const worker = self as unknown as ServiceWorkerGlobalScope;
const CACHES = `cgd-page ${worker.registration.scope} `;
const CACHE = CACHES + __VERSION__;

worker.addEventListener("install", (event) => {
  event.waitUntil(keep());
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(clear());
});

worker.addEventListener("fetch", (event) => {
  const here = event.request.url.startsWith(worker.registration.scope);
  if (event.request.method === "GET" && here) event.respondWith(answer(event.request));
});

async function keep(): Promise<void> {
  const cache = await caches.open(CACHE);
  await cache.addAll(__FILES__.map((file) => new URL(file, worker.registration.scope).href));
  await worker.skipWaiting();
}

async function clear(): Promise<void> {
  for (const each of await caches.keys()) {
    if (each.startsWith(CACHES) && each !== CACHE) await caches.delete(each);
  }
  await worker.clients.claim();
}

async function answer(request: Request): Promise<Response> {
  // What may change under the same address comes from the network while there is one.
  const fresh = request.mode === "navigate" || request.url.endsWith("/pair.json");
  if (!fresh) return (await kept(request)) ?? fetch(request);
  try {
    return await fetch(request);
  } catch (error) {
    const old = await kept(request);
    if (old !== undefined) return old;
    throw error;
  }
}

async function kept(request: Request): Promise<Response | undefined> {
  const asked = request.mode === "navigate" ? worker.registration.scope : request;
  return caches.match(asked);
}
