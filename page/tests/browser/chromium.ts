/** A browser without a user's settings: Debian's or Ubuntu's Chromium, or what CHROMIUM names. */

import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const NAMED = process.env.CHROMIUM;
const PLACES = NAMED
  ? [NAMED]
  : ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

const QUIET = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A browser with an empty profile. Fails with a sentence where there is none. */
export async function launch(flags: readonly string[] = []): Promise<Browser> {
  const executablePath = PLACES.find((place) => existsSync(place));
  if (executablePath === undefined) {
    throw new Error(
      `no Chromium${NAMED ? ` at ${NAMED}` : ""}: install it, as by apt-get install chromium, or name it by CHROMIUM=/path/to/it`,
    );
  }
  return chromium.launch({ executablePath, args: [...QUIET, ...flags] });
}
