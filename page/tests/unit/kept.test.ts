import { expect, test } from "vitest";
import { KEPT, networkOr, placeOf } from "../../src/kept.ts";

const SCOPE = "https://here/page/";
const FILES = ["./", "NOTICES.txt", "assets/index-1.js"];

function place(url: string) {
  return placeOf(url, SCOPE, FILES, "page 1");
}

test.each([
  ["the page", SCOPE],
  ["the page by its file", `${SCOPE}index.html`],
  ["the page with words behind it", `${SCOPE}?utm=1`],
])("%s is the index, asked of the network first", (_, url) => {
  expect(place(url)).toEqual({ cache: "page 1", address: SCOPE, fresh: true });
});

test("another text of the page is itself, and not the index", () => {
  const address = `${SCOPE}NOTICES.txt`;
  expect(place(address)).toEqual({ cache: "page 1", address, fresh: true });
});

test("a file with a hash in its name is never asked for again", () => {
  expect(place(`${SCOPE}assets/index-1.js`)?.fresh).toBe(false);
});

test("the model lies in its own cache, its graph under its hash", () => {
  const graph = `${SCOPE}model/pair.onnx?sha256=12`;
  expect(place(graph)).toEqual({ cache: KEPT, address: graph, fresh: false });
  const json = `${SCOPE}model/pair.json`;
  expect(place(json)).toEqual({ cache: KEPT, address: json, fresh: true });
});

test.each([
  ["a file that is none of the page's", `${SCOPE}other.html`],
  ["a page in a folder below", `${SCOPE}other/`],
  ["a page of another folder", "https://here/elsewhere/NOTICES.txt"],
  ["another site", "https://there/page/"],
])("%s is left to the network", (_, url) => {
  expect(place(url)).toBeNull();
});

const never = new Promise<string>(() => {});

test("the network is heard if it answers", async () => {
  expect(await networkOr(Promise.resolve("new"), "old", 10_000)).toBe("new");
});

test("a network that fails or says nothing is not waited for, if something is kept", async () => {
  expect(await networkOr(Promise.reject(new Error("offline")), "old", 10_000)).toBe("old");
  expect(await networkOr(never, "old", 10)).toBe("old");
});

test("where nothing is kept, the network is all there is", async () => {
  const failing = Promise.reject(new Error("offline"));
  await expect(networkOr(failing, undefined, 10)).rejects.toThrow("offline");
});
