/** From a request of the page to the parts of its answer. */

import { levels, walked } from "./levels.ts";
import type { EditRequest, Part, RowRequest, StripRequest, WalkRequest } from "./messages.ts";
import type { GuidedStep } from "./model.ts";
import { SeededNoise } from "./philox.ts";
import { probability } from "./targets.ts";
import { type Frame, frames, type Walk } from "./walk.ts";

/** Makes another seed of one, as `cgd edit` does: what is edited may be of the same noise. */
const EDITING = 0x3c6ef372;

export function answer(model: GuidedStep, request: WalkRequest): AsyncGenerator<Part> {
  switch (request.kind) {
    case "row":
      return row(model, request);
    case "edit":
      return edit(model, request);
    case "strip":
      return strip(model, request);
  }
}

async function* row(model: GuidedStep, request: RowRequest): AsyncGenerator<Part> {
  for await (const frame of frames(model, fromNoise(model, request, upTo(request.count)))) {
    yield { kind: "frame", frame };
  }
}

/** The drawing, noised part of the way, x_t = alpha x0 + sigma eps, comes back under guidance. */
async function* edit(model: GuidedStep, request: EditRequest): AsyncGenerator<Part> {
  const { drawing, strength, count } = request;
  const { schedule } = model.pair;
  const timesteps = walked(strength, schedule.alpha.length);
  const way = levels(schedule, Math.min(request.steps, timesteps), timesteps);
  const noise = new SeededNoise((request.seed ^ EDITING) >>> 0, upTo(count), drawing.length);
  const { alpha, sigma } = way[0]!;
  const start = noise.next().map((eps, i) => alpha * drawing[i % drawing.length]! + sigma * eps);
  for await (const frame of frames(model, { ...request, start, levels: way, noise })) {
    yield { kind: "frame", frame };
  }
}

/** The same noise under each of the scales. */
async function* strip(model: GuidedStep, request: StripRequest): AsyncGenerator<Part> {
  for (const [place, scale] of request.scales.entries()) {
    let asked: Frame["asked"] = null;
    const walk = fromNoise(model, { ...request, scale }, [request.picture]);
    for await (const frame of frames(model, walk)) {
      if (frame.asked !== null) {
        asked = frame.asked;
        yield { kind: "step" };
      } else {
        const p = asked === null ? 0 : probability(asked.logP, request.weights);
        yield { kind: "cell", cell: { place, pixels: frame.x_t, probability: p } };
      }
    }
  }
}

function fromNoise(
  { pair }: GuidedStep,
  request: RowRequest | StripRequest,
  index: readonly number[],
): Walk {
  const size = pair.shape.reduce((product, length) => product * length, 1);
  const noise = new SeededNoise(request.seed, index, size);
  const way = levels(pair.schedule, request.steps);
  const start = noise.next().map((eps) => way[0]!.sigma * eps);
  return { ...request, start, levels: way, noise };
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
