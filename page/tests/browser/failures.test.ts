/** What goes wrong is said in one sentence on the page. */

import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Route } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { launch } from "./chromium.ts";
import { finished, MODEL } from "./page.ts";
import { site } from "./site.ts";

const folders: string[] = [];
let browser: Browser;

beforeAll(async () => {
  browser = await launch();
});

afterAll(() => browser?.close());

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

test.each([
  ["a model that is not there", (folder: string) => rmSync(join(folder, "pair.onnx")), "404"],
  [
    "no description",
    (folder: string) => rmSync(join(folder, "pair.json")),
    "pair.json is not there",
  ],
  ["a model that is cut off", cut, "is not the file that model/pair.json describes"],
  ["a model with another byte", flip, "is not the file that model/pair.json describes"],
  ["no JSON", (folder: string) => writeFileSync(join(folder, "pair.json"), "{"), "is not JSON"],
  ["another version", (folder: string) => say(folder, { version: 2 }), "is of version 2"],
  ["another format", (folder: string) => say(folder, { format: "cow" }), "a guided step"],
  ["too few alphas", (folder: string) => say(folder, { alpha: [1] }), "alpha is missing"],
  [
    "latents",
    (folder: string) => say(folder, { codec: { kind: "latents" } }),
    "latents, not pixels",
  ],
  [
    "the graph of other classes",
    (folder: string) => say(folder, { class_names: ["a", "b"], class_shares: null }),
    "do not belong together: weights is of B x 10 in the graph, not of B x 2",
  ],
  ["no graph", noGraph, "does not load in onnxruntime"],
])("%s", async (_, spoil, words) => {
  const model = copy();
  spoil(model);
  expect(await failure(browser, model)).toContain(words);
});

test.each([
  ["a browser without WebAssembly", "--jitless", "does not run WebAssembly"],
  ["a processor without SIMD", "--no-enable-sse4-1 --no-enable-sse3", "lacks WebAssembly SIMD"],
])("%s", async (_, flags, words) => {
  const other = await launch([`--js-flags=${flags}`]);
  try {
    expect(await failure(other, MODEL)).toContain(words);
  } finally {
    await other.close();
  }
});

test("a row that fails says so while the other goes on, until it works again", async () => {
  const model = copy();
  // A mixture with a class that hardly is in the data: its weight is no float32.
  say(model, { class_shares: [1e-300, ...Array(9).fill(1 / 9)] });
  const server = await site(model);
  const page = await browser.newPage();
  try {
    await page.goto(`${server.address}#steps=40&target=0%2B1&scale=3`);
    await finished(page);
    const said = page.getByRole("alert").locator("p");
    expect(await said.allTextContents()).toEqual([
      "The pictures are not finite from step 1 on; try a smaller scale or more steps.",
    ]);
    await page.locator(".stage").getByRole("button", { name: "8", exact: true }).click();
    await said.waitFor({ state: "detached" });
  } finally {
    await page.close();
    await server.close();
  }
});

test("a WebAssembly that is not there is no fault of the model", async () => {
  const said = await failure(browser, MODEL, (route) => route.fulfill({ status: 404 }));
  expect(said).toMatch(/^assets\/ort-wasm.*\.wasm is not there \(the server says 404\)/);
});

test("a browser that forbids to keep anything shows the page, and no word of offline", async () => {
  const server = await site(MODEL);
  const page = await browser.newPage();
  let forbidden = 0;
  await page.route("**/worker-*.js", async (route) => {
    const response = await route.fetch();
    const forbids = 'caches.open = () => Promise.reject(new DOMException("no", "SecurityError"));';
    forbidden += 1;
    await route.fulfill({ response, body: forbids + (await response.text()) });
  });
  try {
    await page.goto(`${server.address}#steps=3`);
    await finished(page);
    await page.locator(".row.guided [data-step='3']").first().waitFor();
    expect(forbidden).toBe(1);
    expect(await page.getByRole("alert").locator("p").count()).toBe(0);
    expect(await page.locator("#offline").isVisible()).toBe(false);
  } finally {
    await page.close();
    await server.close();
  }
});

/** wasm: what becomes of onnxruntime's WebAssembly. */
async function failure(
  visited: Browser,
  model: string,
  wasm: (route: Route) => Promise<void> = (route) => route.continue(),
): Promise<string> {
  const server = await site(model);
  const page = await visited.newPage();
  await page.route("**/*.wasm", wasm);
  try {
    await page.goto(server.address);
    const said = page.getByRole("alert").locator("p");
    await said.waitFor();
    expect(await page.getByRole("slider").count()).toBe(0);
    return (await said.textContent())!;
  } finally {
    await page.close();
    await server.close();
  }
}

function copy(): string {
  const folder = mkdtempSync(join(tmpdir(), "cgd-page-"));
  folders.push(folder);
  for (const file of ["pair.json", "pair.onnx"]) cpSync(join(MODEL, file), join(folder, file));
  return folder;
}

function say(folder: string, changes: object): void {
  const file = join(folder, "pair.json");
  const told = JSON.parse(readFileSync(file, "utf8"));
  writeFileSync(file, JSON.stringify({ ...told, ...changes }));
}

function cut(folder: string): void {
  const file = join(folder, "pair.onnx");
  writeFileSync(file, readFileSync(file).subarray(0, -10));
}

function flip(folder: string): void {
  const file = join(folder, "pair.onnx");
  const graph = readFileSync(file);
  graph[graph.length >> 1]! ^= 1;
  writeFileSync(file, graph);
}

/** Bytes that are described rightly, and are no graph. */
function noGraph(folder: string): void {
  writeFileSync(join(folder, "pair.onnx"), "cow");
  const sha256 = createHash("sha256").update("cow").digest("hex");
  say(folder, { model: { file: "pair.onnx", sha256, bytes: 3 } });
}
