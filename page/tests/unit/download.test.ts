import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { download, whole } from "../../src/download.ts";

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A file of a server that answers so. */
async function served(answer: RequestListener) {
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const address = new URL(`http://127.0.0.1:${port}/pair.json`);
  return { address, name: "model/pair.json", absent: "put it there" };
}

async function drained(parts: AsyncIterable<Uint8Array>): Promise<number> {
  let length = 0;
  for await (const part of parts) length += part.length;
  return length;
}

test("a file comes whole", async () => {
  const wanted = await served((_, response) => {
    response.write("co");
    setTimeout(() => response.end("w"), 20);
  });
  expect(new TextDecoder().decode(await whole(wanted, 3))).toBe("cow");
});

test("a file that is too large is not read to its end", async () => {
  const wanted = await served((_, response) => response.end("cow"));
  await expect(whole(wanted, 2)).rejects.toThrow("model/pair.json has over 2 bytes; put it there.");
});

test("a file that is not there is said with what helps", async () => {
  const wanted = await served((_, response) => response.writeHead(404).end());
  await expect(whole(wanted, 9)).rejects.toThrow(
    "model/pair.json is not there (the server says 404); put it there.",
  );
});

test("a connection that breaks off is no fault of the model", async () => {
  const wanted = await served((_, response) => {
    response.writeHead(200, { "Content-Length": 100 });
    response.write("half", () => response.destroy());
  });
  await expect(whole(wanted, 100)).rejects.toThrow(
    "model/pair.json broke off; is the server still there? Reload the page.",
  );
});

test("a server that is gone is said", async () => {
  const wanted = await served((_, response) => response.end());
  await new Promise((resolve) => servers.pop()!.close(resolve));
  await expect(whole(wanted, 9)).rejects.toThrow("model/pair.json cannot be reached");
});

test.each([
  ["that does not answer", () => {}],
  ["that sends a half", (write: () => void) => write()],
])("a server %s is not waited for", async (_, begin) => {
  const wanted = await served((_, response) => begin(() => response.write("half")));
  await expect(drained(download(wanted, 100))).rejects.toThrow("came to a halt");
});

test("a slow server that goes on sending is waited for", async () => {
  const wanted = await served(async (_, response) => {
    for (let i = 0; i < 8; i++) {
      response.write("x");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    response.end();
  });
  expect(await drained(download(wanted, 600))).toBe(8);
});

test("a file that nobody reads on is not sent on", async () => {
  let closed = () => {};
  const gone = new Promise<void>((resolve) => {
    closed = resolve;
  });
  const wanted = await served((_, response) => {
    response.on("close", closed);
    response.write("half");
  });
  for await (const _ of download(wanted)) break;
  await gone;
});
