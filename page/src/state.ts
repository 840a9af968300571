/**
 * All that decides what the page shows, as the part of its address after #, so that it can be sent.
 *
 * A link comes from outside: every value has bounds, and what is out of them is said and replaced.
 */

import { type Classes, parseTarget, quoted, TargetError } from "./targets.ts";

export const VIEWS = ["x_t", "x0", "gradient"] as const;
export type View = (typeof VIEWS)[number];

export interface State {
  /** What is asked for, as it was written. */
  readonly target: string;
  readonly scale: number;
  readonly steps: number;
  readonly seed: number;
  readonly eta: number;
  /** Where the walk is looked at; null follows it to its end. */
  readonly at: number | null;
  readonly view: View;
  readonly picture: number;
  /** Share of the way to noise that a drawing is brought. */
  readonly strength: number;
}

export const PICTURES = 4;
const MOST_COMPLAINTS = 5;

interface Range {
  readonly low: number;
  readonly high: number;
  /** Values are whole multiples of it. */
  readonly step: number;
  readonly usual: number;
}

export const RANGES = {
  scale: { low: 0, high: 20, step: 0.1, usual: 3 },
  steps: { low: 1, high: 100, step: 1, usual: 20 },
  seed: { low: 0, high: 2 ** 32 - 1, step: 1, usual: 0 },
  eta: { low: 0, high: 1, step: 0.05, usual: 0 },
  picture: { low: 0, high: PICTURES - 1, step: 1, usual: 0 },
  strength: { low: 0.1, high: 1, step: 0.05, usual: 0.8 },
} as const satisfies Record<string, Range>;

type Numeric = keyof typeof RANGES;

/** What the page begins with. mostSteps: that the pair's schedule has, and the page can keep. */
export function usualState({ names }: Classes, mostSteps: number): State {
  return {
    target: quoted(names[Math.min(3, names.length - 1)]!),
    scale: RANGES.scale.usual,
    steps: Math.min(RANGES.steps.usual, mostSteps),
    seed: RANGES.seed.usual,
    eta: RANGES.eta.usual,
    at: null,
    view: "x_t",
    picture: RANGES.picture.usual,
    strength: RANGES.strength.usual,
  };
}

/** `state` as the part of an address after #. */
export function writeState(state: State): string {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (value !== null) words.set(name, String(value));
  }
  return words.toString();
}

/** The state that `hash` says, and a sentence for each thing in it that makes no sense. */
export function readState(
  hash: string,
  classes: Classes,
  mostSteps: number,
): { state: State; complaints: string[] } {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const usual = usualState(classes, mostSteps);
  const complaints: string[] = [];
  const number = (name: Numeric, high: number = RANGES[name].high): number => {
    const text = words.get(name);
    const value = text === null ? usual[name] : numberIn(text, { ...RANGES[name], high });
    if (value !== null) return value;
    complaints.push(
      `The link says ${name} ${shown(text)}, which is no number from ${RANGES[name].low} to ` +
        `${high}; the page takes ${usual[name]}.`,
    );
    return usual[name];
  };
  const steps = number("steps", Math.min(RANGES.steps.high, mostSteps));
  const state: State = {
    target: readTarget(words.get("target"), usual.target, classes, complaints),
    scale: number("scale"),
    steps,
    seed: number("seed"),
    eta: number("eta"),
    at: readAt(words.get("at"), steps, complaints),
    view: readView(words.get("view"), usual.view, complaints),
    picture: number("picture"),
    strength: number("strength"),
  };
  for (const name of new Set(words.keys())) {
    if (!Object.hasOwn(state, name))
      complaints.push(`The link says ${shown(name)}, which means nothing here.`);
  }
  const more = complaints.length - MOST_COMPLAINTS;
  if (more > 0) complaints.splice(MOST_COMPLAINTS, more, `The link has ${more} more such things.`);
  return { state, complaints };
}

/** The number that `text` writes, held to the steps of `range`; null if it is none or outside. */
export function numberIn(text: string, range: Range): number | null {
  if (!/^\s*\d{1,10}(\.\d{0,10})?\s*$/.test(text)) return null;
  const value = Number(text);
  if (value < range.low || value > range.high) return null;
  const decimals = range.step < 1 ? 2 : 0;
  return Number((Math.round(value / range.step) * range.step).toFixed(decimals));
}

function readTarget(
  text: string | null,
  usual: string,
  classes: Classes,
  complaints: string[],
): string {
  if (text === null) return usual;
  try {
    parseTarget(text, classes);
    return text;
  } catch (error) {
    if (!(error instanceof TargetError)) throw error;
    complaints.push(`The link asks for ${shown(text)}: ${error.message} The page takes ${usual}.`);
    return usual;
  }
}

function readAt(text: string | null, steps: number, complaints: string[]): number | null {
  if (text === null) return null;
  const at = numberIn(text, { low: 0, high: steps, step: 1, usual: steps });
  if (at === null) {
    complaints.push(
      `The link says at ${shown(text)}, which is no step from 0 to ${steps}; the page shows the end.`,
    );
  }
  return at;
}

function readView(text: string | null, usual: View, complaints: string[]): View {
  const view = text === null ? usual : VIEWS.find((each) => each === text);
  if (view !== undefined) return view;
  complaints.push(
    `The link says view ${shown(text)}, which is none of ${VIEWS.join(", ")}; the page takes ${usual}.`,
  );
  return usual;
}

function shown(text: string | null): string {
  const word = text ?? "";
  return word.length <= 40 ? `“${word}”` : `“${word.slice(0, 37)}...”`;
}
