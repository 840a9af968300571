/** What is asked for: a button a class, and a field for any other target. */

import type { Pair } from "../pair.ts";
import type { Change, View } from "../scene.ts";
import { asking, mostSigns, parseTarget, quoted, TargetError } from "../targets.ts";
import { element, setAttributes } from "./dom.ts";
import { checkedField } from "./field.ts";

const MOST_BUTTONS = 20;

let fields = 0;

export function classesView(pair: Pair, change: Change): View {
  const shown = pair.names.slice(0, MOST_BUTTONS).map((name, index) => {
    const button = element("button", { type: "button", class: "class" }, name);
    button.addEventListener("click", () => {
      written.reset();
      change({ target: asking(index, pair.names) });
    });
    return { index, button };
  });
  const id = `target-${++fields}`;
  const list = element("datalist", { id: `${id}-classes` });
  const field = element("input", {
    id,
    type: "text",
    maxlength: mostSigns(pair.names),
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    enterkeyhint: "go",
    list: list.id,
    "aria-describedby": `${id}-said`,
  });
  if (pair.names.length > MOST_BUTTONS) {
    // Many options take a while to make, and most visitors never need them.
    const fill = () => {
      list.append(
        ...pair.names.map((_, index) => element("option", { value: asking(index, pair.names) })),
      );
    };
    field.addEventListener("focus", fill, { once: true });
  }
  const said = element("p", { id: `${id}-said`, class: "said", role: "status" });
  const written = checkedField(field, said, (text) => {
    try {
      parseTarget(text, pair);
    } catch (error) {
      if (error instanceof TargetError) return error.message;
      throw error;
    }
    change({ target: text });
    return null;
  });
  const buttons = shown.map(({ button }) => button);
  return {
    element: element(
      "div",
      { class: "classes" },
      element("span", { class: "ask" }, "Ask for"),
      element(
        "span",
        { class: "target" },
        element("label", { for: id }, "or write ", ...examples(pair)),
        field,
      ),
      element("div", { class: "buttons", role: "group", "aria-label": "Ask for" }, ...buttons),
      said,
      list,
    ),
    draw: ({ state, weights }) => {
      const asked = weights.filter((weight) => weight > 0).length;
      for (const { index, button } of shown) {
        const pressed = weights[index]! > 0;
        setAttributes(button, {
          "aria-pressed": String(pressed),
          "data-among": asked > 1 && pressed,
        });
      }
      written.show(state.target);
    },
  };
}

/** Two targets of these classes that are no single class, where there may be such. */
function examples({ names, conditional }: Pair): Node[] {
  if (conditional || names.length < 2) return [document.createTextNode("its name")];
  const [a, b] = [names[Math.min(3, names.length - 2)]!, names[Math.min(7, names.length - 1)]!];
  return [
    element("code", {}, `${quoted(a)}|${quoted(b)}`),
    document.createTextNode(" or "),
    element("code", {}, `!${quoted(a)}`),
  ];
}
