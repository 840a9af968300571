/**
 * What a picture shall show: one class, one of several, none of some, or a mixture of classes.
 *
 *     log p(y | x_t) = log sum_k w_k p(k | x_t)
 *
 *     3           the class 3                  w_3 = 1
 *     3|7         3 or 7, as often as in data  w_3 = w_7 = 1
 *     !3, !3|7    none of these                w_k = 1 for all others
 *     3+7, 2*3+7  a mixture, 1:1 or 2:1        w_k = q_k / share_k, sum q_k = 1
 *
 * A class is its name or its index; where a name looks like something else, the name wins. A name
 * with one of these signs in it stands in double quotes. The grammar is the Python package's.
 */

/** The weight of each class. */
export type Weights = readonly number[];

export interface Classes {
  readonly names: readonly string[];
  /** The classes' shares in the training data; equal where they are not known. */
  readonly shares: readonly number[] | null;
  /** Whether the noise predictor is told the class, and so cannot be told of several. */
  readonly conditional?: boolean;
}

/** A target that means nothing, in a sentence for the user. */
export class TargetError extends Error {}

const MOST_SIGNS = 100;
const MOST_DIGITS = 9;
const SIGNS = /[,|+*!"]/;
/** A name in quotes begins a target, or follows one of these. */
const BEFORE = ",|+*!";
const QUOTED = /\s*"(?:[^"]|"")*"\s*(?=[,|+]|$)/uy;
const NUMBER = /^\s*(?:\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})\s*$/;

/** Reads targets of `classes`, and keeps the last one: what is asked for changes less than it is read. */
export function targetReader(classes: Classes): (text: string) => Weights {
  let last: { text: string; weights: Weights } | null = null;
  return (text) => {
    if (last?.text !== text) last = { text, weights: parseTarget(text, classes) };
    return last.weights;
  };
}

/** The weights that `text` means. Throws TargetError for a class that is not there. */
export function parseTarget(text: string, classes: Classes): Weights {
  if (text.length > MOST_SIGNS && text.length > mostSigns(classes.names)) {
    throw new TargetError(
      `${brief(text)} has ${text.length} signs; wanted at most ${mostSigns(classes.names)}.`,
    );
  }
  const weights = meaning(text.trim(), classes);
  if (classes.conditional && weights.filter((weight) => weight > 0).length > 1) {
    throw new TargetError("This model is told the class itself: ask for a single one.");
  }
  return weights;
}

function meaning(word: string, classes: Classes): Weights {
  const { names } = classes;
  if (places(names).has(word) || isIndex(word)) return only(names, [classIndex(word, names)]);
  if (word === "") throw new TargetError("No class is named; wanted one, as in 3, 3|7 or !3.");
  if (word === "!") throw new TargetError("No class follows the !; wanted one, as in !3.");
  if (word.startsWith("!")) {
    const excluded = new Set(indices(word, split(word.slice(1), "|"), names));
    if (excluded.size === names.length) {
      throw new TargetError(`${brief(word)} leaves none of the ${names.length} classes.`);
    }
    return names.map((_, k) => (excluded.has(k) ? 0 : 1));
  }
  const either = split(word, "|");
  if (either.length > 1) return only(names, indices(word, either, names));
  const terms = split(word, "+");
  if (terms.length > 1) return mixture(word, terms, classes);
  return only(names, [classIndex(word, names)]);
}

/** How the class `name` is written in this grammar: in quotes where it needs them. */
export function quoted(name: string): string {
  const plain = name !== "" && name === name.trim() && !SIGNS.test(name);
  return plain ? name : `"${name.replaceAll('"', '""')}"`;
}

/** How the class at `index` is asked for: by its name, or by its index where an earlier one has it. */
export function asking(index: number, names: readonly string[]): string {
  const [name, known] = [names[index]!, places(names)];
  if (known.get(name) === index) return quoted(name);
  let number = String(index);
  while (known.has(number)) number = `0${number}`; // A name wins over an index.
  return number;
}

/** p of the target, sum_k w_k p_k over the asked classes, from `logP` of all classes. */
export function probability(logP: ArrayLike<number>, weights: Weights): number {
  let sum = 0;
  for (let k = 0; k < weights.length; k++) if (weights[k]! > 0) sum += Math.exp(logP[k]!);
  return sum;
}

/** How long a target may be: enough for every name. */
export function mostSigns(names: readonly string[]): number {
  return names.reduce((most, name) => Math.max(most, quoted(name).length), MOST_SIGNS);
}

/** `text` as a sentence can bear it. */
function brief(text: string): string {
  return text.length <= 40 ? text : `${text.slice(0, 37)}...`;
}

function only(names: readonly string[], wanted: readonly number[]): Weights {
  const set = new Set(wanted);
  return names.map((_, k) => (set.has(k) ? 1 : 0));
}

/** The parts of `text` between those separators that stand outside quotes. */
function split(text: string, separator: string): string[] {
  const parts = [""];
  for (const token of tokens(text)) {
    if (token === separator) parts.push("");
    else parts[parts.length - 1] += token;
  }
  return parts;
}

/** The signs of `text`, a name in quotes as one. */
function* tokens(text: string): Generator<string> {
  for (let place = 0, token = ""; place < text.length; place += token.length) {
    // Looking back in the expression itself is more than Safari before 16.4 reads.
    QUOTED.lastIndex = place;
    const begins = place === 0 || BEFORE.includes(text[place - 1]!);
    const name = begins ? QUOTED.exec(text) : null;
    token = name?.[0] ?? String.fromCodePoint(text.codePointAt(place)!);
    yield token;
  }
}

function indices(word: string, parts: readonly string[], names: readonly string[]): number[] {
  if (parts.some((part) => part.trim() === "")) {
    throw new TargetError(`${brief(word)} lacks a class; wanted one on each side, as in 3|7.`);
  }
  return parts.map((part) => classIndex(part.trim(), names));
}

function mixture(word: string, terms: readonly string[], { names, shares }: Classes): Weights {
  const parts = new Map<number, number>();
  for (const term of terms) {
    const [head, ...rest] = split(term, "*");
    const counted = rest.some((part) => part !== "") && NUMBER.test(head!);
    const name = (counted ? rest.join("*") : term).trim();
    if (name === "") {
      throw new TargetError(`${brief(word)} lacks a class; wanted one on each side, as in 3+7.`);
    }
    const index = classIndex(name, names);
    parts.set(index, (parts.get(index) ?? 0) + (counted ? Number(head) : 1));
  }
  const whole = [...parts.values()].reduce((sum, part) => sum + part, 0);
  const share = (k: number) => (shares?.length ? shares[k]! : 1 / names.length);
  if (whole === 0 || [...parts.keys()].some((k) => share(k) === 0)) {
    throw new TargetError(
      `${brief(word)} has no proportion above 0 of classes that the classifier was trained on.`,
    );
  }
  return names.map((_, k) => (share(k) > 0 ? (parts.get(k) ?? 0) / whole / share(k) : 0));
}

/** The index of the class called `word`, or numbered so; in quotes, of the one called so. */
function classIndex(word: string, names: readonly string[]): number {
  if (word.length > 1 && word.startsWith('"') && word.endsWith('"')) {
    const inside = places(names).get(word.slice(1, -1).replaceAll('""', '"'));
    if (inside !== undefined) return inside;
  }
  const called = places(names).get(word);
  if (called !== undefined) return called;
  if (isIndex(word) && word.length <= MOST_DIGITS && Number(word) < names.length) {
    return Number(word);
  }
  const known =
    names
      .slice(0, 20)
      .map((name) => brief(quoted(name)))
      .join(", ") + (names.length > 20 ? ", ..." : "");
  throw new TargetError(
    `There is no class ${brief(word)}; the classes are ${known}, and several are written as 3|7 or !3.`,
  );
}

const KNOWN = new WeakMap<readonly string[], ReadonlyMap<string, number>>();

/** Where each name stands, the first of equal ones; made once for a list of names. */
function places(names: readonly string[]): ReadonlyMap<string, number> {
  let known = KNOWN.get(names);
  if (known === undefined) {
    known = new Map(names.map((name, k) => [name, k] as const).reverse());
    KNOWN.set(names, known);
  }
  return known;
}

function isIndex(word: string): boolean {
  return /^\d+$/.test(word);
}
