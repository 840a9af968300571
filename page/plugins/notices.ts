/**
 * NOTICES.txt: the licences of what is bundled.
 *
 * The packages of onnxruntime carry no licence files. Theirs are kept beside this file, as its
 * wheel for Python has them: its own, and those of the libraries inside its WebAssembly.
 */

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import type { Plugin } from "vite";

const RULER = `\n\n${"=".repeat(80)}\n\n`;
const LICENCES = new URL("./licences/", import.meta.url);

export function notices(own: string, version: string): Plugin {
  return {
    name: "notices",
    apply: "build",
    generateBundle() {
      const ort = readFileSync(new URL("onnxruntime.txt", LICENCES), "utf8").trim();
      const others = readFileSync(new URL("onnxruntime-third-party.txt.gz", LICENCES));
      const parts = [
        `This page is part of cgd-lightning.\n\n${readFileSync(own, "utf8").trim()}`,
        `It contains onnxruntime-web and onnxruntime-common ${version}.\n\n${ort}`,
        `What onnxruntime contains:\n\n${gunzipSync(others).toString("utf8").trim()}`,
      ];
      this.emitFile({ type: "asset", fileName: "NOTICES.txt", source: `${parts.join(RULER)}\n` });
    },
  };
}
