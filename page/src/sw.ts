/** The service worker: the page and its model from the browser's own store, without a network. */

/// <reference lib="webworker" />

import { networkOr, type Place, placeOf } from "./kept.ts";

/** The build puts in all files of the page, and a hash of them. */
declare const __FILES__: readonly string[];
declare const __VERSION__: string;

const worker = self as unknown as ServiceWorkerGlobalScope;
const CACHES = `cgd-page ${worker.registration.scope} `;
const CACHE = CACHES + __VERSION__;
const FILES = __FILES__; // The build replaces the name once.
/** How long a network that may be none is waited for where there is an older answer. */
const PATIENCE_MILLISECONDS = 4000;

worker.addEventListener("install", (event) => {
  event.waitUntil(keep());
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(clear());
});

worker.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  const place = placeOf(url, worker.registration.scope, FILES, CACHE);
  if (method === "GET" && place !== null) event.respondWith(answer(event.request, place));
});

async function keep(): Promise<void> {
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES.map(request));
  await worker.skipWaiting();
}

/** What has no hash in its name may be an older build's in the browser's cache of the network. */
function request(file: string): Request {
  const address = new URL(file, worker.registration.scope);
  return new Request(address, { cache: file.startsWith("assets/") ? "default" : "reload" });
}

async function clear(): Promise<void> {
  for (const each of await caches.keys()) {
    if (each.startsWith(CACHES) && each !== CACHE) await caches.delete(each);
  }
  await worker.clients.claim();
}

async function answer(request: Request, { cache, address, fresh }: Place): Promise<Response> {
  const old = await caches.match(address, { cacheName: cache });
  if (!fresh) return old ?? fetch(request);
  return networkOr(fetch(request), old, PATIENCE_MILLISECONDS);
}
