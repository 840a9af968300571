/** The built page, and any pair beside it, as a static site that knows nothing of the page. */

import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const DIST = fileURLToPath(new URL("../../dist/", import.meta.url));
const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
};

export interface Site {
  readonly address: string;
  readonly close: () => Promise<void>;
}

/** Serve the page, with the files of `model` as its model. */
export async function site(model: string): Promise<Site> {
  if (!existsSync(join(DIST, "index.html"))) {
    throw new Error("page/dist is not built; run make test-page, or npm run build in page/");
  }
  const server = createServer((request, response) => {
    const asked = decodeURIComponent(new URL(request.url ?? "/", "http://here").pathname);
    const path = normalize(asked.endsWith("/") ? `${asked}index.html` : asked);
    const file = path.startsWith("/model/") ? join(model, path.slice(7)) : join(DIST, path);
    if (!existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `http://127.0.0.1:${port}/`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
