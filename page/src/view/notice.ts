/** What the page has to say: that it loads, that it fails, that a link made no sense. */

import type { Lane } from "../messages.ts";
import { element } from "./dom.ts";

export interface Notice {
  readonly loading: (share: number) => void;
  readonly opened: () => void;
  /** There will be no model. */
  readonly lost: (sentence: string) => void;
  /** A walk broke off; it is said until the lane works again. */
  readonly failed: (lane: Lane, sentence: string) => void;
  readonly works: (lane: Lane) => void;
  readonly complaints: (sentences: readonly string[]) => void;
}

export function notice(place: HTMLElement): Notice {
  const words = element("span", {}, "Loading the model");
  const bar = element("progress", { max: 1, "aria-label": "Loading the model" });
  const loading = element("p", { class: "loading" }, words, bar);
  const alert = element("div", { role: "alert" });
  const complaints = element("div", { role: "status" });
  const failures = new Map<Lane, string>();
  place.replaceChildren(loading, alert, complaints);
  /** Each sentence once: lanes may fail of the same. */
  const show = (sentences: Iterable<string>) =>
    alert.replaceChildren(
      ...Array.from(new Set(sentences), (each) => element("p", { class: "failed" }, each)),
    );
  return {
    loading: (share) => {
      bar.value = share;
      if (share < 1) return;
      bar.removeAttribute("value");
      words.textContent = "Starting the model";
      bar.setAttribute("aria-label", "Starting the model");
    },
    opened: () => loading.remove(),
    lost: (sentence) => {
      loading.remove();
      show([sentence]);
    },
    failed: (lane, sentence) => {
      failures.set(lane, sentence);
      show(failures.values());
    },
    works: (lane) => {
      if (failures.delete(lane)) show(failures.values());
    },
    complaints: (sentences) => {
      const items = sentences.map((sentence) => element("li", {}, sentence));
      complaints.replaceChildren(
        ...(items.length > 0 ? [element("ul", { class: "complaints" }, ...items)] : []),
      );
    },
  };
}
