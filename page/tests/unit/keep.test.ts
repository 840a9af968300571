import { expect, test } from "vitest";
import { keep } from "../../src/keep.ts";

const FOLDER = "https://here/page/model/";
const OLD = `${FOLDER}pair.onnx?sha256=1`;
const NEW = new URL(`${FOLDER}pair.onnx?sha256=2`);
const ELSEWHERE = "https://here/other/model/pair.onnx?sha256=3";
const [TOLD, GRAPH] = [Uint8Array.of(1), Uint8Array.of(2)];

/** A store that holds an older model; it refuses the address `full`. */
function store(full = ""): { store: () => CacheStorage; kept: string[] } {
  const kept = [OLD, `${FOLDER}pair.json`, ELSEWHERE];
  const cache = {
    put: async (address: URL) => {
      if (address.href === full) throw new DOMException("full", "QuotaExceededError");
      if (!kept.includes(address.href)) kept.push(address.href);
    },
    keys: async () => kept.map((url) => ({ url })),
    delete: async (url: string) => kept.splice(kept.indexOf(url), 1).length > 0,
  };
  return { store: () => ({ open: async () => cache }) as unknown as CacheStorage, kept };
}

test("the new model takes the place of the old one, and leaves those of other pages", async () => {
  const { store: whole, kept } = store();
  expect(await keep(TOLD, NEW, GRAPH, whole)).toBe(true);
  expect(kept.sort()).toEqual([ELSEWHERE, NEW.href, `${FOLDER}pair.json`].sort());
});

test("a store that is full for the graph keeps the old model whole", async () => {
  const { store: full, kept } = store(NEW.href);
  expect(await keep(TOLD, NEW, GRAPH, full)).toBe(false);
  expect(kept).toEqual([OLD, `${FOLDER}pair.json`, ELSEWHERE]);
});

test("a store that is full for the description has both graphs still", async () => {
  const { store: full, kept } = store(`${FOLDER}pair.json`);
  expect(await keep(TOLD, NEW, GRAPH, full)).toBe(false);
  expect(kept).toEqual(expect.arrayContaining([OLD, NEW.href]));
});

test.each([
  [
    "whose answers are refused",
    () => ({ open: () => Promise.reject(new DOMException("no", "SecurityError")) }),
  ],
  [
    "that may not even be named",
    () => {
      throw new DOMException("no", "SecurityError");
    },
  ],
  ["that is not there", () => undefined],
])("a store %s keeps nothing, and is no fault", async (_, forbidden) => {
  expect(await keep(TOLD, NEW, GRAPH, forbidden as () => CacheStorage | undefined)).toBe(false);
});
