/** Whether a slider is held: by a pointer until it lets go, by a key until that is up. */

const SLIDER = "range";

export class Hold {
  private slider: EventTarget | null = null;
  private keys = false;

  /** place: all sliders are in it. released: called when the user lets go of one. */
  constructor(
    place: EventTarget,
    private readonly released: () => void,
  ) {
    // Before the slider itself hears of it, which is what asks for walks.
    const first = { capture: true };
    place.addEventListener("keydown", (event) => this.key(event), first);
    place.addEventListener("input", (event) => this.moved(event), first);
    // A key changes the slider at once, and again and again while it is down.
    place.addEventListener("change", () => this.keys || this.release());
    // There is no change where the slider is brought back to where it was.
    for (const end of ["keyup", "pointerup", "pointercancel", "touchend", "focusout"]) {
      place.addEventListener(end, () => this.release());
    }
  }

  get isOn(): boolean {
    return this.slider !== null;
  }

  private key({ target }: Event): void {
    this.keys = isSlider(target);
  }

  private moved({ target }: Event): void {
    if (isSlider(target)) this.slider = target;
  }

  private release(): void {
    this.keys = false;
    if (this.slider === null) return;
    this.slider = null;
    this.released();
  }
}

function isSlider(target: EventTarget | null): boolean {
  return target !== null && "type" in target && target.type === SLIDER;
}
