/** The same noise under a rising scale, filled in as it is computed. */

import type { Cell } from "../messages.ts";
import type { Pair } from "../pair.ts";
import type { Change, View } from "../scene.ts";
import { element, percent, setAttributes } from "./dom.ts";
import { blank, paint, pictureCanvas } from "./picture.ts";

export const SCALES = [0, 0.5, 1, 2, 3, 5, 8, 12, 16, 20];

export interface StripView extends View {
  readonly clear: () => void;
  readonly fill: (cell: Cell) => void;
}

export function stripView(pair: Pair, change: Change): StripView {
  const about = element("p", { class: "about" });
  const cells = SCALES.map((scale) => {
    const canvas = pictureCanvas(pair.shape);
    const said = element("span", { class: "p" });
    const button = element(
      "button",
      { type: "button", class: "tile", "data-scale": scale },
      canvas,
      element("span", { class: "scale" }, `${scale}`),
      said,
    );
    button.addEventListener("click", () => change({ scale }));
    return { scale, canvas, said, button };
  });
  const strip = element("div", { class: "strip" }, ...cells.map(({ button }) => button));
  return {
    element: element(
      "section",
      { class: "card wide", "aria-label": "The same noise under a rising scale" },
      element("h2", {}, "The same noise, pulled harder and harder"),
      about,
      strip,
    ),
    draw: ({ state }) => {
      about.textContent = `Picture ${state.picture + 1}, asked for ${state.target}; tap a picture to take its scale.`;
      for (const { scale, button, said } of cells) {
        const p = said.textContent
          ? `, p of ${state.target} ${said.textContent}`
          : ", not yet computed";
        setAttributes(button, {
          "aria-pressed": String(scale === state.scale),
          "aria-label": `Scale ${scale}${p}`,
        });
      }
    },
    clear: () => {
      for (const { canvas, said, button } of cells) {
        blank(canvas);
        said.textContent = "";
        setAttributes(button, { "data-filled": false });
      }
    },
    fill: ({ place, pixels, probability }) => {
      const { canvas, said, button } = cells[place]!;
      paint(canvas, pixels, pair.shape, 0);
      said.textContent = percent(probability);
      setAttributes(button, { "data-filled": true });
    },
  };
}
