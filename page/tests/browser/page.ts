/** What a visitor does on the page and sees there. */

import { fileURLToPath } from "node:url";
import type { Locator, Page } from "playwright-core";

/** The pair that `make test-page` exported, and of which Python made pictures. */
export const MODEL = fileURLToPath(new URL("../made/model/", import.meta.url));

/** Everything that the page complains of to the console. */
export function complaints(page: Page): string[] {
  const said: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) said.push(message.text());
  });
  page.on("pageerror", (error) => said.push(String(error)));
  return said;
}

/** Wait until both rows are finished, with the last step shown. */
export async function finished(page: Page): Promise<void> {
  for (const row of ["guided", "unguided"]) {
    await page.locator(`.row.${row}[aria-busy=false]`).waitFor();
  }
}

/** Open a link within the page and wait for its pictures. */
export async function follow(page: Page, hash: string): Promise<void> {
  await page.evaluate((to) => {
    location.hash = to;
  }, hash);
  // Once it works on it, the page writes all of its state into the address, in its own order.
  await page.waitForFunction((to) => location.hash !== `#${to}`, hash);
  await finished(page);
}

/** The grey levels of the pictures in `place`, as they stand on their canvases. */
export async function pixels(place: Locator): Promise<number[][]> {
  return place.locator("canvas").evaluateAll((canvases) =>
    (canvases as HTMLCanvasElement[]).map((canvas) => {
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      return Array.from(data).filter((_, i) => i % 4 === 0);
    }),
  );
}

export function scale(page: Page): Locator {
  return page.getByRole("slider", { name: "Scale of the guidance" });
}
