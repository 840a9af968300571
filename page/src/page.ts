/** The page at work: a change of the state asks for the walks that are then missing, and draws. */

import { mostSteps } from "./bounds.ts";
import type { Engine } from "./engine.ts";
import { Hold } from "./hold.ts";
import type { Lane, Settings } from "./messages.ts";
import type { Pair } from "./pair.ts";
import type { Scene, View } from "./scene.ts";
import { PICTURES, readState, type State, writeState } from "./state.ts";
import { targetReader } from "./targets.ts";
import { Tempo } from "./tempo.ts";
import { Track } from "./track.ts";
import { barsView } from "./view/bars.ts";
import { classesView } from "./view/classes.ts";
import { curveView } from "./view/curve.ts";
import { element } from "./view/dom.ts";
import { type EditView, editView } from "./view/edit.ts";
import { formulaView } from "./view/formula.ts";
import type { Notice } from "./view/notice.ts";
import { rowsView } from "./view/rows.ts";
import { scaleView } from "./view/scale.ts";
import { settingsView } from "./view/settings.ts";
import { stepsView } from "./view/steps.ts";
import { SCALES, type StripView, stripView } from "./view/strip.ts";

/** A row that takes longer than this is shown as it denoises, unless a slider is held. */
const QUIET_MILLISECONDS = 1500;
/** How long the state has to rest before it goes into the address. */
const REST_MILLISECONDS = 250;

/** Lanes that are asked for nothing while they are out of sight. */
const OUT_OF_SIGHT = ["strip", "edit"] as const;

type Side = "guided" | "unguided";

/** The settings that decide what a walk shows; the target stands for its weights, which are many. */
type Deciding = Omit<Settings, "weights"> & { readonly target: string };

export class Page {
  private state: State;
  private readonly tracks = { guided: new Track(), unguided: new Track() };
  private readonly views: View[];
  private readonly strip: StripView;
  private readonly edit: EditView;
  /** What each walk was last asked for; a change of it asks again. */
  private readonly asked = new Map<string, string>();
  private readonly weights: ReturnType<typeof targetReader>;
  private readonly seen = new Set<Lane>();
  private readonly tempo = new Tempo();
  private readonly hold: Hold;
  private drawn = 0;
  private drawings = 0;
  private rest = 0;

  constructor(
    private readonly pair: Pair,
    private readonly engine: Engine,
    place: HTMLElement,
    private readonly notice: Notice,
  ) {
    this.weights = targetReader(pair);
    this.state = this.fromLink();
    this.hold = new Hold(document, () => this.released());
    const change = (part: Partial<State>) => {
      notice.complaints([]); // They were about the link, and the user goes on from there.
      // What is out of sight is not asked for again, and so could not show that it works.
      for (const lane of OUT_OF_SIGHT) if (!this.seen.has(lane)) notice.works(lane);
      this.change(part);
    };
    this.strip = stripView(pair, change);
    this.edit = editView(
      pair,
      change,
      () => {
        this.drawings += 1;
        this.ask();
      },
      () => this.chosen(),
    );
    const rows = rowsView(pair, change);
    const stage = [
      classesView(pair, change),
      scaleView(change),
      rows,
      stepsView(change),
      settingsView(change, () => this.link()),
    ];
    const numbers = [barsView(), curveView(), formulaView()];
    this.views = [...stage, ...numbers, this.strip, this.edit];
    place.replaceChildren(
      element("section", { class: "card stage" }, ...stage.map((view) => view.element)),
      element("div", { class: "numbers" }, ...numbers.map((view) => view.element)),
      this.strip.element,
      this.edit.element,
    );
    this.watch([
      [rows.element, ["guided", "unguided"]],
      [this.strip.element, ["strip"]],
      [this.edit.element, ["edit"]],
    ]);
    addEventListener("hashchange", () => this.change(this.fromLink()));
    this.change({});
  }

  private fromLink(): State {
    const { state, complaints } = readState(location.hash, this.pair, mostSteps(this.pair));
    this.notice.complaints(complaints);
    return state;
  }

  /** The page's address with the state of now; that of the browser comes a moment later. */
  private link(): string {
    return new URL(`#${writeState(this.state)}`, location.href).href;
  }

  private change(part: Partial<State>): void {
    const state = { ...this.state, ...part };
    // What still plays a walk of more steps may be a moment late.
    const at = state.at !== null && state.at > state.steps ? null : state.at;
    this.state = { ...state, at };
    this.ask();
    this.draw();
    clearTimeout(this.rest);
    this.rest = setTimeout(() => {
      history.replaceState(null, "", `#${writeState(this.state)}`);
    }, REST_MILLISECONDS);
  }

  /** Draw all views before the next frame of the screen, once. */
  private draw(): void {
    if (this.drawn !== 0) return;
    this.drawn = requestAnimationFrame(() => {
      this.drawn = 0;
      const { pair, state, tracks } = this;
      const scene: Scene = { pair, state, weights: this.weights(state.target), ...tracks };
      for (const view of this.views) view.draw(scene);
    });
  }

  private settings(): Settings {
    const { target, scale, steps, eta, seed } = this.state;
    return { weights: this.weights(target), scale, steps, eta, seed };
  }

  /** Ask for every walk whose settings are not those that it was last asked for. */
  private ask(): void {
    const settings = this.settings();
    const { weights: _, ...others } = settings;
    const deciding = { ...others, target: this.state.target };
    this.askRow("guided", settings, deciding);
    // What is asked for decides nothing of unguided pictures but the gradient beside them, unless
    // the noise predictor is told of it.
    const told = this.pair.conditional || this.state.view === "gradient";
    const target = told ? deciding.target : "";
    this.askRow("unguided", { ...settings, scale: 0 }, { ...deciding, scale: 0, target });
    if (this.seen.has("strip")) this.askStrip(settings, deciding);
    if (this.seen.has("edit")) this.askEdit(settings, deciding);
  }

  /** deciding: those of the settings that decide what is shown. */
  private askRow(lane: Side, settings: Settings, deciding: Deciding): void {
    const track = this.tracks[lane];
    // It is let finish, so that pictures change all the while a slider is dragged.
    if (this.hold.isOn && track.busy) return;
    const alike = this.differsOnlyIn(lane === "guided" ? "scale" : "target", lane, deciding);
    if (!this.isNew(lane, deciding)) return;
    const { target } = this.state;
    track.begin(this.hold.isOn || (alike && this.isQuick), { target, scale: settings.scale });
    this.engine.ask(
      { kind: "row", lane, count: PICTURES, ...settings },
      {
        part: (part) => {
          if (part.kind === "frame") {
            this.tempo.told(performance.now(), part.frame.step === 0);
            track.add(part.frame);
          }
          this.notice.works(lane);
          this.draw();
        },
        failed: (sentence) => this.notice.failed(lane, sentence),
        done: () => {
          track.finish();
          this.ask();
          this.draw();
        },
      },
    );
  }

  private get isQuick(): boolean {
    return (this.tempo.of(this.state.steps) ?? Number.POSITIVE_INFINITY) < QUIET_MILLISECONDS;
  }

  /** A slider is let go: the newest is made at once, and shown as it comes where that takes time. */
  private released(): void {
    this.ask();
    if (!this.isQuick) for (const track of Object.values(this.tracks)) track.reveal();
    this.draw();
  }

  private askStrip(settings: Settings, deciding: Deciding): void {
    const { picture } = this.state;
    if (!this.isNew("strip", { ...deciding, scale: 0, picture })) return;
    this.strip.clear();
    this.engine.ask(
      { kind: "strip", lane: "strip", scales: SCALES, picture, ...settings },
      {
        part: (part) => {
          if (part.kind === "cell") this.strip.fill(part.cell);
          this.notice.works("strip");
          this.draw();
        },
        failed: (sentence) => this.notice.failed("strip", sentence),
        done: () => this.draw(),
      },
    );
  }

  private askEdit(settings: Settings, deciding: Deciding): void {
    const { strength, target, scale } = this.state;
    if (this.hold.isOn && this.edit.busy) return;
    if (!this.isNew("edit", { ...deciding, strength, drawings: this.drawings })) return;
    const drawing = this.edit.drawing.x0();
    this.edit.wait();
    this.engine.ask(
      { kind: "edit", lane: "edit", count: PICTURES, drawing, strength, ...settings },
      {
        part: (part) => {
          if (part.kind === "frame") this.edit.show(part.frame, `as ${target}, s = ${scale}`);
          this.notice.works("edit");
        },
        failed: (sentence) => this.notice.failed("edit", sentence),
        done: () => {
          this.edit.finish();
          this.ask();
        },
      },
    );
  }

  /** Whether `what` differs from what `walk` was last asked for; it is remembered. */
  private isNew(walk: string, what: object): boolean {
    const text = JSON.stringify(what);
    if (this.asked.get(walk) === text) return false;
    this.asked.set(walk, text);
    return true;
  }

  private differsOnlyIn(name: keyof Deciding, walk: string, deciding: Deciding): boolean {
    const before = this.asked.get(walk);
    if (before === undefined) return false;
    const replaced = { ...JSON.parse(before), [name]: deciding[name] };
    return JSON.stringify(replaced) === JSON.stringify(deciding);
  }

  /** The finished picture that is chosen in the guided row. */
  private chosen(): Uint8Array | null {
    const frame = this.tracks.guided.at(null);
    if (frame === null || frame.asked !== null) return null;
    const size = frame.x_t.length / PICTURES;
    return frame.x_t.slice(this.state.picture * size, (this.state.picture + 1) * size);
  }

  /** Work for the strip and the drawing only once they come into sight, and first for what is. */
  private watch(parts: readonly (readonly [Element, readonly Lane[]])[]): void {
    const lanes = new Map(parts);
    const observer = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting } of entries) {
          for (const lane of lanes.get(target) ?? []) {
            if (isIntersecting) this.seen.add(lane);
            else this.seen.delete(lane);
          }
        }
        this.engine.see([...this.seen]);
        this.ask();
      },
      { rootMargin: "100px" },
    );
    for (const part of lanes.keys()) observer.observe(part);
  }
}
