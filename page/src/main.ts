/** Begin: see that the browser can run the model, open it in the worker, show the page. */

import { Engine } from "./engine.ts";
import { Page } from "./page.ts";
import { lacking } from "./support.ts";
import { notice } from "./view/notice.ts";

const said = notice(document.querySelector<HTMLElement>("#notice")!);
const place = document.querySelector<HTMLElement>("#page")!;
const about = document.querySelector<HTMLElement>("#offline")!;

const missing = lacking();
if (missing !== null) {
  said.lost(missing);
} else {
  const engine = new Engine(new URL("model/", document.baseURI), {
    described: (pair) => void new Page(pair, engine, place, said),
    loading: said.loading,
    opened: said.opened,
    lost: (sentence) => {
      place.replaceChildren();
      said.lost(sentence);
    },
    kept: () => void keepPage(),
  });
}

/** Let the service worker keep the page itself; the worker has kept the model. */
async function keepPage(): Promise<void> {
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  try {
    await navigator.serviceWorker.register(new URL("sw.js", document.baseURI));
  } catch (error) {
    // A browser that keeps nothing, as in a private window: the page works, but only online.
    if (error instanceof DOMException) return;
    throw error;
  }
  await navigator.serviceWorker.ready;
  about.hidden = false;
}
