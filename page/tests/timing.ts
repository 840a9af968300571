/** Times of a first visit and of a dragged scale: the page in dist/ with its own model. */

import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { launch } from "./browser/chromium.ts";
import { finished, scale } from "./browser/page.ts";
import { type Site, site } from "./browser/site.ts";

const VISITS = 5;
const PRESSES = 30;

/** Milliseconds since the visit began. */
interface Times {
  page: number;
  picture: number;
  row: number;
  /** How long each task of the page's own thread took that took over 50 ms. */
  tasks: number[];
}

declare global {
  interface Window {
    times: Times;
  }
}

/** Runs in the page, before anything else: looks at every frame of the screen. */
function look(): void {
  const times: Times = { page: 0, picture: 0, row: 0, tasks: [] };
  window.times = times;
  new PerformanceObserver((list) => {
    times.tasks.push(...list.getEntries().map((entry) => Math.round(entry.duration)));
  }).observe({ type: "longtask", buffered: true });
  const frame = () => {
    const now = Math.round(performance.now());
    const is = (selector: string) => document.querySelector(selector) !== null;
    if (is(".stage")) times.page ||= now;
    if (is("[data-row=guided][data-step]:not([data-step=''])")) times.picture ||= now;
    if (is(".row.guided[aria-busy=false]")) times.row ||= now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

/** Drag the scale from where it is; the tasks over 50 ms meanwhile. */
async function drag(page: Page): Promise<number[]> {
  await page.evaluate(() => window.times.tasks.splice(0));
  await scale(page).focus();
  for (let press = 0; press < PRESSES; press++) await page.keyboard.press("ArrowRight");
  await finished(page);
  return page.evaluate(() => window.times.tasks);
}

async function visit(server: Site): Promise<void> {
  const browser = await launch();
  const page = await browser.newPage({ viewport: { width: 960, height: 900 } });
  await page.addInitScript(look);
  await page.goto(server.address);
  await finished(page);
  const { tasks, ...times } = await page.evaluate(() => window.times);
  console.log(JSON.stringify({ ...times, tasks, dragged: await drag(page) }));
  await browser.close();
}

const server = await site(fileURLToPath(new URL("../dist/model/", import.meta.url)));
for (let i = 0; i < VISITS; i++) await visit(server);
await server.close();
