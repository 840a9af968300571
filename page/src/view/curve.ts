/** p of what was asked for over the steps, guided and unguided. */

import type { Scene, View } from "../scene.ts";
import type { Track } from "../track.ts";
import { element, legend, math, percent, setAttributes, svg } from "./dom.ts";
import { asked } from "./rows.ts";

const [WIDTH, HEIGHT] = [320, 170];
const [LEFT, RIGHT, TOP, BOTTOM] = [42, 10, 12, 24];

export function curveView(): View {
  const about = element("p", { class: "about" });
  const guided = svg("polyline", { class: "line guided" });
  const unguided = svg("polyline", { class: "line unguided" });
  const now = svg("line", { class: "now", y1: TOP, y2: HEIGHT - BOTTOM });
  const dot = svg("circle", { class: "dot", r: 4.5 });
  const chart = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "curve" },
    ...[0, 0.5, 1].flatMap((p) => [
      svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(p), y2: y(p) }),
      svg("text", { x: LEFT - 6, y: y(p) + 4, class: "mark end" }, `${100 * p}%`),
    ]),
    svg("text", { x: LEFT, y: HEIGHT - 6, class: "mark" }, "noise"),
    svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 6, class: "mark end" }, "picture"),
    now,
    unguided,
    guided,
    dot,
  );
  return {
    element: element(
      "section",
      { class: "card" },
      element("h2", {}, "How sure, step by step"),
      about,
      legend(),
      chart,
    ),
    draw: (scene) => {
      const { state } = scene;
      about.replaceChildren(
        `p(${state.target}`,
        ...math(" | x_t)"),
        ` of picture ${state.picture + 1}`,
      );
      setAttributes(guided, { points: points(scene, scene.guided) });
      setAttributes(unguided, { points: points(scene, scene.unguided) });
      const frame = scene.guided.asked(state.at);
      const p = asked(scene.guided, state.at, scene.weights, state.picture);
      const x = across(frame?.step ?? 0, frame?.steps ?? state.steps);
      setAttributes(now, { x1: x, x2: x });
      setAttributes(dot, { cx: x, cy: y(p ?? 0), visibility: p === null ? "hidden" : "visible" });
      setAttributes(chart, {
        "aria-label":
          `p of ${state.target} over the steps of picture ${state.picture + 1}: ` +
          `guided it ends at ${last(scene, scene.guided)}, unguided at ${last(scene, scene.unguided)}`,
      });
    },
  };
}

function points(scene: Scene, track: Track): string {
  const { state, weights } = scene;
  return track.shown
    .filter((frame) => frame.asked !== null)
    .map(({ step, steps }) => {
      const p = asked(track, step, weights, state.picture) ?? 0;
      return `${across(step, steps).toFixed(1)},${y(p).toFixed(1)}`;
    })
    .join(" ");
}

function last({ state, weights }: Scene, track: Track): string {
  const p = asked(track, null, weights, state.picture);
  return p === null ? "nothing yet" : percent(p);
}

/** The networks are asked at steps 0 ... N-1. */
function across(step: number, steps: number): number {
  return LEFT + (step / Math.max(1, steps - 1)) * (WIDTH - LEFT - RIGHT);
}

function y(p: number): number {
  return TOP + (1 - p) * (HEIGHT - TOP - BOTTOM);
}
