/** What the page has to say: that it loads, that it fails, that a link made no sense. */

import { element } from "./dom.ts";

export interface Notice {
  readonly loading: (share: number) => void;
  readonly opened: () => void;
  readonly failed: (sentence: string) => void;
  /** What failed before works again. */
  readonly works: () => void;
  readonly complaints: (sentences: readonly string[]) => void;
}

export function notice(place: HTMLElement): Notice {
  const bar = element("progress", { max: 1, "aria-label": "Loading the model" });
  const loading = element("p", { class: "loading" }, "Loading the model ", bar);
  const failed = element("div", { role: "alert" });
  const complaints = element("div", { role: "status" });
  place.replaceChildren(loading, failed, complaints);
  return {
    loading: (share) => {
      bar.value = share;
    },
    opened: () => loading.remove(),
    failed: (sentence) => {
      loading.remove();
      failed.replaceChildren(element("p", { class: "failed" }, sentence));
    },
    works: () => failed.replaceChildren(),
    complaints: (sentences) => {
      const items = sentences.map((sentence) => element("li", {}, sentence));
      complaints.replaceChildren(
        ...(items.length > 0 ? [element("ul", { class: "complaints" }, ...items)] : []),
      );
    },
  };
}
