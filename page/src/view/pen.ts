/** A field to draw on, by finger, mouse or keyboard. */

import type { Drawing, Place } from "../drawing.ts";
import type { Shape } from "../pair.ts";
import { toBytes } from "../pixels.ts";
import { element } from "./dom.ts";
import { paint, pictureCanvas } from "./picture.ts";

export interface Pen {
  readonly element: HTMLElement;
  readonly draw: () => void;
}

/** drawn: called with every stroke that was added. */
export function pen(shape: Shape, drawing: Drawing, drawn: () => void): Pen {
  const [, height, width] = shape;
  const canvas = pictureCanvas(shape);
  const cursor = element("span", { class: "cursor", "aria-hidden": "true" });
  const field = element(
    "div",
    {
      class: "pen",
      tabindex: 0,
      role: "application",
      "aria-label":
        "Field to draw on: move with the arrow keys, paint with the space bar, erase with Backspace",
    },
    canvas,
    cursor,
  );
  const draw = () => paint(canvas, toBytes(drawing.x0()), shape, 0);
  /** The next frame of the screen, which shows all moves of the pen until then. */
  let waiting = 0;
  const changed = () => {
    cancelAnimationFrame(waiting);
    waiting = 0;
    draw();
    drawn();
  };

  let last: Place | null = null;
  const place = (event: PointerEvent): Place => {
    const box = canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  };
  field.addEventListener("pointerdown", (event) => {
    field.setPointerCapture(event.pointerId);
    last = place(event);
    drawing.stroke(last, last);
    changed();
  });
  field.addEventListener("pointermove", (event) => {
    if (last === null) return;
    const next = place(event);
    drawing.stroke(last, next);
    last = next;
    waiting ||= requestAnimationFrame(changed);
  });
  for (const end of ["pointerup", "pointercancel"] as const) {
    field.addEventListener(end, () => {
      last = null;
    });
  }

  let [column, row] = [Math.floor(width / 2), Math.floor(height / 2)];
  const showCursor = () => {
    cursor.style.left = `${(column / width) * 100}%`;
    cursor.style.top = `${(row / height) * 100}%`;
    cursor.style.width = `${100 / width}%`;
    cursor.style.height = `${100 / height}%`;
  };
  field.addEventListener("keydown", (event) => {
    const [right, down] = STEPS[event.key] ?? [0, 0];
    const paints = event.key === " " || event.key === "Enter";
    if (right === 0 && down === 0 && !paints && event.key !== "Backspace") return;
    event.preventDefault();
    column = Math.min(width - 1, Math.max(0, column + right));
    row = Math.min(height - 1, Math.max(0, row + down));
    showCursor();
    if (paints || event.key === "Backspace") {
      drawing.pixel(column, row, paints);
      changed();
    }
  });
  showCursor();
  return { element: field, draw };
}

const STEPS: Record<string, readonly [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
