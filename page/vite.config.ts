import { defineConfig } from "vite";
import told from "./package.json" with { type: "json" };
import { notices } from "./plugins/notices.ts";
import { offline } from "./plugins/offline.ts";

const WORKER = "sw.js";

/** The library apart from our own code, whose size has a limit. */
const apart = (id: string) => (id.includes("onnxruntime") ? "onnxruntime" : undefined);

export default defineConfig({
  // The page may lie in any folder of a site.
  base: "./",
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: { index: "index.html", sw: "src/sw.ts" },
      output: {
        entryFileNames: ({ name }) => (name === "sw" ? WORKER : "assets/[name]-[hash].js"),
      },
    },
  },
  worker: { format: "es", rollupOptions: { output: { manualChunks: apart } } },
  plugins: [notices("../LICENSE", told.dependencies["onnxruntime-web"]), offline(WORKER)],
});
