/** The picture of the documentation: the page in dist/ with its own model, as a visitor sees it. */

import { fileURLToPath } from "node:url";
import { launch } from "./browser/chromium.ts";
import { finished } from "./browser/page.ts";
import { site } from "./browser/site.ts";

const SHOWN = "#target=3&scale=5&steps=20&seed=0";
const WIDTH = 960;

const file = fileURLToPath(new URL("../../docs/page.png", import.meta.url));
const server = await site(fileURLToPath(new URL("../dist/model/", import.meta.url)));
const browser = await launch();
const page = await browser.newPage({ viewport: { width: WIDTH, height: 1600 } });
page.setDefaultTimeout(120_000);
await page.goto(server.address + SHOWN);
await finished(page);
await page.locator("#offline:not([hidden])").waitFor();
const bars = (await page.locator(".bars").boundingBox())!;
const height = Math.ceil(bars.y + bars.height + 32);
await page.screenshot({ path: file, clip: { x: 0, y: 0, width: WIDTH, height } });
await browser.close();
await server.close();
