/** Elements of the page in one expression each. */

type Attributes = Record<string, string | number | boolean>;
type Child = Node | string;

/** An element with its attributes and children; an attribute that is false is left out. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  setAttributes(made, attributes);
  made.append(...children);
  return made;
}

/** The same, of a drawing. */
export function svg<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[Tag] {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(made, attributes);
  made.append(...children);
  return made;
}

export function setAttributes(target: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false) target.removeAttribute(name);
    else target.setAttribute(name, value === true ? "" : String(value));
  }
}

/** `made` with the share, 0 ... 1, by which the style sheet lays it out; style attributes are forbidden. */
export function withShare<Made extends HTMLElement>(made: Made, share: number): Made {
  made.style.setProperty("--share", String(share));
  return made;
}

/** `x_t` as x with a t below it, and `x_t′` likewise. */
export function math(text: string): Child[] {
  return text
    .split(/(_[a-z0]′?)(?![a-z])/)
    .map((part) => (/^_[a-z0]′?$/.test(part) ? element("sub", {}, part.slice(1)) : part));
}

/** Which colour is which row. */
export function legend(): HTMLElement {
  const names = ["guided", "unguided"].map((name) =>
    element("span", {}, element("span", { class: `key ${name}` }), name),
  );
  return element("p", { class: "legend", "aria-hidden": "true" }, ...names);
}

/** A probability as people read it: no classifier is ever quite sure. */
export function percent(p: number): string {
  if (p < 0.005) return "<1%";
  if (p >= 0.995) return ">99%";
  return `${Math.round(p * 100)}%`;
}

/** A number in as few signs as three digits need. */
export function short(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1000 || size < 0.001) {
    const [digits, power] = value.toExponential(1).split("e");
    return `${digits}·10${superscript(Number(power))}`;
  }
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3).replace("-", "−");
}

function superscript(power: number): string {
  return [...String(power)]
    .map((sign) => (sign === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(sign)]))
    .join("");
}
