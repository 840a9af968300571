/** What the page has to say: that it loads, that it fails, that a link made no sense. */

import { element } from "./dom.ts";

export interface Notice {
  readonly loading: (share: number) => void;
  readonly opened: () => void;
  /** Nothing goes on after this. */
  readonly failed: (sentence: string) => void;
  readonly complaints: (sentences: readonly string[]) => void;
}

export function notice(place: HTMLElement): Notice {
  const bar = element("progress", { max: 1, "aria-label": "Loading the model" });
  const loading = element("p", { class: "loading" }, "Loading the model ", bar);
  place.replaceChildren(loading);
  return {
    loading: (share) => {
      bar.value = share;
    },
    opened: () => loading.remove(),
    failed: (sentence) => {
      loading.remove();
      place.querySelector(".failed")?.remove();
      place.append(element("p", { class: "failed", role: "alert" }, sentence));
    },
    complaints: (sentences) => {
      if (sentences.length === 0) return;
      const list = sentences.map((sentence) => element("li", {}, sentence));
      place.append(element("ul", { class: "complaints", role: "status" }, ...list));
    },
  };
}
