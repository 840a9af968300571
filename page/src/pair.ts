/**
 * The pair that the page shows: what stands in pair.json beside the graph of the guided step.
 *
 * The file comes from outside. All that is used of it is checked here, and refused in one sentence.
 */

import { PROCESSES, type Schedule } from "./levels.ts";

export const FORMAT = "cgd-lightning guided step";
export const VERSION = 1;

const MOST_TIMESTEPS = 100_000;
const MOST_CLASSES = 10_000;
const MOST_NAME = 200;
/** Of a picture: drawing a step of 3 x 256 x 256 takes the page some 40 ms, and 64 MB keep 27. */
const MOST_PIXELS = 3 * 256 * 256;
const [LEAST_LEVEL, MOST_LEVEL] = [1e-30, 1e30];
/** More than any browser gives a page. */
const MOST_BYTES = 2 ** 31;

export type Shape = readonly [channels: number, height: number, width: number];

export interface Pair {
  readonly model: { readonly file: string; readonly sha256: string; readonly bytes: number };
  readonly shape: Shape;
  readonly names: readonly string[];
  readonly shares: readonly number[] | null;
  readonly schedule: Schedule;
  readonly classifier: Classifier;
  /** Whether the noise predictor is told the class itself. */
  readonly conditional: boolean;
  /** Whether x0 is kept in [-1, 1], outside the guidance. */
  readonly clamp: boolean;
}

/** How the classifier, which may know another schedule, is asked at the noise predictor's levels. */
export interface Classifier {
  /** The first and the last timestep, a fraction too, between which it guides. */
  readonly covers: readonly [number, number];
  /** Its own schedule; null where that is the noise predictor's. */
  readonly schedule: Schedule | null;
}

/** A model that cannot be shown, in a sentence for the user. */
export class PairError extends Error {}

/** The pair that `json` describes. Throws PairError for what is not of this page's format. */
export function readPair(json: unknown): Pair {
  if (!isRecord(json) || json.format !== FORMAT) {
    throw new PairError(
      "model/pair.json does not describe a guided step; make it with cgd export --to onnx.",
    );
  }
  if (json.version !== VERSION) {
    throw new PairError(
      `model/pair.json is of version ${String(json.version)} and this page reads ${VERSION}; ` +
        "build the page and export the model with the same cgd-lightning.",
    );
  }
  readCodec(json.codec);
  const shape = readShape(json.image_shape);
  const names = readNames(json.class_names);
  return {
    model: readModel(json.model),
    shape,
    names,
    shares: json.class_shares == null ? null : readShares(json.class_shares, names.length),
    schedule: readSchedule(json),
    classifier: readClassifier(json.classifier),
    conditional: json.conditional === true,
    clamp: json.clamp === true,
  };
}

function readModel(model: unknown): Pair["model"] {
  const said = isRecord(model) ? model : {};
  const { file, sha256, bytes } = said;
  if (typeof file !== "string" || !/^[\w.-]{1,100}$/.test(file)) throw wrong("model.file");
  if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) throw wrong("model.sha256");
  if (typeof bytes !== "number" || !Number.isInteger(bytes)) throw wrong("model.bytes");
  if (bytes < 1 || bytes > MOST_BYTES) throw wrong("model.bytes");
  return { file, sha256, bytes };
}

function readCodec(codec: unknown): void {
  if (!isRecord(codec) || codec.kind !== "pixels") {
    throw new PairError("This model makes latents, not pixels, and the page cannot show them.");
  }
  if (codec.low !== -1 || codec.high !== 1) throw wrong("codec");
}

function readShape(shape: unknown): Shape {
  if (!isNumbers(shape) || shape.length !== 3) throw wrong("image_shape");
  const [channels, height, width] = shape as [number, number, number];
  const whole = shape.every((size) => Number.isInteger(size) && size >= 1);
  if (!whole || channels * height * width > MOST_PIXELS) throw wrong("image_shape");
  if (channels !== 1 && channels !== 3) {
    throw new PairError(
      `This model's pictures have ${channels} channels; the page shows pictures of 1 or 3.`,
    );
  }
  return [channels, height, width];
}

function readNames(names: unknown): string[] {
  const texts = Array.isArray(names) && names.every((name) => typeof name === "string");
  if (!texts || names.length < 1 || names.length > MOST_CLASSES) throw wrong("class_names");
  if (names.some((name) => name.length > MOST_NAME)) {
    throw new PairError(
      `model/pair.json: a name in class_names is of over ${MOST_NAME} signs; rename the class.`,
    );
  }
  return names.map(plain);
}

/** Signs that break a line, turn the direction of others, or are half of one. */
const UNSEEN = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** `name` as it can be shown: its index where there is nothing to see, and `UNSEEN` signs as codes. */
function plain(name: string, index: number): string {
  const seen = name.replace(UNSEEN, (sign) => {
    return `\\u${sign.codePointAt(0)!.toString(16).padStart(4, "0")}`;
  });
  return seen.replace(/\p{Cf}/gu, "").trim() === "" ? String(index) : seen;
}

function readShares(shares: unknown, classes: number): number[] {
  const fit = isNumbers(shares) && (shares.length === 0 || shares.length === classes);
  if (!fit || shares.some((share) => share < 0)) throw wrong("class_shares");
  return shares;
}

function readSchedule({ alpha, sigma, between }: Record<string, unknown>): Schedule {
  if (!isNumbers(alpha) || alpha.length < 2 || alpha.length > MOST_TIMESTEPS) throw wrong("alpha");
  if (!isNumbers(sigma) || sigma.length !== alpha.length) throw wrong("sigma");
  // The graph computes in float32 and divides by both: nearly 0 would be 0, and give no number.
  if (!alpha.every((a) => a === 0 || within(a))) throw wrong("alpha");
  if (!sigma.every(within)) throw wrong("sigma");
  const angles = alpha.map((a, t) => Math.atan2(sigma[t]!, a));
  const still = angles.findIndex((angle, t) => t > 0 && angle <= angles[t - 1]!);
  if (still >= 0) {
    throw new PairError(
      `model/pair.json: the noise does not grow from timestep ${still - 1} to ${still}; ` +
        "export the model again.",
    );
  }
  const process = PROCESSES.find((each) => each === between) ?? null;
  if (process === null && between !== null) throw wrong("between");
  return { alpha, sigma, between: process };
}

function within(level: number): boolean {
  return LEAST_LEVEL <= level && level <= MOST_LEVEL;
}

function readClassifier(classifier: unknown): Classifier {
  const { covers, schedule } = isRecord(classifier) ? classifier : {};
  if (!isNumbers(covers) || covers.length !== 2) throw wrong("classifier.covers");
  const [first, last] = covers as [number, number];
  if (schedule == null) return { covers: [first, last], schedule: null };
  if (!isRecord(schedule)) throw wrong("classifier.schedule");
  return { covers: [first, last], schedule: readSchedule(schedule) };
}

function wrong(entry: string): PairError {
  return new PairError(
    `model/pair.json: ${entry} is missing or out of range; export the model again.`,
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((each) => Number.isFinite(each));
}
