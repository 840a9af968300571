/** Open the model in the worker, show the page, and keep both for use without a network. */

import { Engine } from "./engine.ts";
import { Page } from "./page.ts";
import type { Notice } from "./view/notice.ts";

/** about: says that the page is kept. */
export function begin(place: HTMLElement, said: Notice, about: HTMLElement): void {
  const engine = new Engine(new URL("model/", document.baseURI), {
    described: (pair) => void new Page(pair, engine, place, said),
    loading: said.loading,
    opened: said.opened,
    lost: (sentence) => {
      place.replaceChildren();
      said.lost(sentence);
    },
    kept: () => void keepPage(about),
  });
}

/** Let the service worker keep the page itself; the worker has kept the model. */
async function keepPage(about: HTMLElement): Promise<void> {
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  try {
    await navigator.serviceWorker.register(new URL("sw.js", document.baseURI));
  } catch {
    return; // A private window, or a network that is gone: the page works, but only online.
  }
  await navigator.serviceWorker.ready;
  about.hidden = false;
}
