/** What the build made, without a model. */

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const DIST = fileURLToPath(new URL("../../dist/", import.meta.url));

const files = readdirSync(DIST, { recursive: true, encoding: "utf8" }).filter(
  (file) => !file.startsWith("model") && statSync(join(DIST, file)).isFile(),
);

function bytes(chosen: readonly string[]): number {
  return chosen.reduce((sum, file) => sum + statSync(join(DIST, file)).size, 0);
}

test("the page is of at most 14 MB, and our own JavaScript of at most 100 kB", () => {
  expect(bytes(files)).toBeLessThan(14e6);
  const own = files.filter((file) => file.endsWith(".js") && !file.includes("onnxruntime"));
  expect(own.length).toBeGreaterThanOrEqual(3);
  expect(bytes(own)).toBeLessThan(100e3);
});

test("one WebAssembly is in it, that of the plain CPU", () => {
  const wasm = files.filter((file) => file.endsWith(".wasm"));
  expect(wasm).toHaveLength(1);
  expect(wasm[0]).toMatch(/ort-wasm-simd-threaded-[^.]+\.wasm$/);
});

test("the service worker keeps every file but itself", () => {
  const worker = readFileSync(join(DIST, "sw.js"), "utf8");
  const kept = files.filter((file) => file !== "sw.js" && file !== "index.html");
  for (const file of kept) expect(worker).toContain(`"${file}"`);
  expect(worker).toContain('"./"');
});

test("the licences of all that is bundled lie beside it", () => {
  const notices = readFileSync(join(DIST, "NOTICES.txt"), "utf8");
  for (const words of ["cgd-lightning", "onnxruntime-web", "Microsoft Corporation", "Eigen"]) {
    expect(notices).toContain(words);
  }
});
