/** Tells the service worker all files of the page, and a hash of them. The model is no part of it. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

export function offline(worker: string): Plugin {
  let open = "";
  return {
    name: "offline",
    enforce: "post",
    configResolved: (config) => {
      open = config.publicDir;
    },
    generateBundle(_, bundle) {
      const hash = createHash("sha256");
      const built = Object.entries(bundle).filter(([file]) => file !== worker);
      for (const [file, made] of built) {
        hash.update(file).update(made.type === "chunk" ? made.code : made.source);
      }
      const still = readdirSync(open).filter((file) => file !== "model");
      for (const file of still) hash.update(file).update(readFileSync(join(open, file)));
      const files = ["./", ...built.map(([file]) => file), ...still].filter(
        (file) => file !== "index.html",
      );
      const chunk = bundle[worker];
      if (chunk?.type !== "chunk") throw new Error(`${worker} was not built`);
      chunk.code = chunk.code
        .replace("__FILES__", JSON.stringify(files))
        .replace("__VERSION__", JSON.stringify(hash.digest("hex").slice(0, 16)));
    },
  };
}
