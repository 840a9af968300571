/** Every picture on the page is the one that Python makes. */

import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch } from "./chromium.ts";
import { finished, follow, MODEL, pixels } from "./page.ts";
import { type Site, site } from "./site.ts";

interface Pictures {
  samples: {
    seed: number;
    labels: string;
    scale: number;
    steps: number;
    eta: number;
    pixels: number[][];
  }[];
  edit: { seed: number; scale: number; steps: number; strength: number; pixels: number[][] };
}

const made: Pictures = JSON.parse(
  readFileSync(new URL("../made/pixels.json", import.meta.url), "utf8"),
);

let server: Site;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  server = await site(MODEL);
  browser = await launch();
  page = await browser.newPage();
  await page.goto(server.address);
  await finished(page);
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

test.each(made.samples)("seed $seed, $labels, scale $scale, eta $eta", async (sample) => {
  const { labels, pixels: theirs, ...rest } = sample;
  await follow(page, link({ target: labels, ...rest }));
  const ours = await pixels(page.locator(".row.guided"));
  expect(greatest(ours, theirs)).toBeLessThanOrEqual(1);
});

test("the row below is that of scale 0", async () => {
  const {
    scale: _,
    pixels: theirs,
    labels,
    ...rest
  } = made.samples.find((each) => each.scale === 0)!;
  await follow(page, link({ target: labels, ...rest, scale: 7 }));
  expect(greatest(await pixels(page.locator(".row.unguided")), theirs)).toBeLessThanOrEqual(1);
});

test("a picture that is brought part of the way to noise comes back as cgd edit brings it", async () => {
  const { pixels: theirs, ...rest } = made.edit;
  await follow(
    page,
    link({
      target: "3",
      seed: rest.seed,
      scale: rest.scale,
      steps: rest.steps,
      strength: rest.strength,
    }),
  );
  const edit = page.getByRole("region", { name: "Draw and change" });
  await edit.scrollIntoViewIfNeeded();
  await edit.getByRole("button", { name: "Take the chosen picture" }).click();
  await edit.getByRole("button", { name: "8", exact: true }).click();
  await expect
    .poll(async () => greatest(await pixels(edit.locator(".back")), theirs), { timeout: 30_000 })
    .toBeLessThanOrEqual(1);
});

test("the pictures of the scales differ, so that equality says something", () => {
  const [off, on] = [0, 5].map((scale) => made.samples.find((each) => each.scale === scale)!);
  expect(greatest(off!.pixels, on!.pixels)).toBeGreaterThan(20);
});

function link(words: Record<string, string | number>): string {
  return new URLSearchParams(
    Object.entries(words).map(([name, value]) => [name, String(value)]),
  ).toString();
}

/** The greatest difference of two sets of pictures, in grey levels. */
function greatest(ours: number[][], theirs: number[][]): number {
  expect(ours.map((each) => each.length)).toEqual(theirs.map((each) => each.length));
  return Math.max(
    ...ours.map((picture, i) => Math.max(...picture.map((v, j) => Math.abs(v - theirs[i]![j]!)))),
  );
}
