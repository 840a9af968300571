import { expect, test, vi } from "vitest";
import { bytesOf, isMemory } from "../../src/open.ts";

/** Of a graph of 3 bytes. */
const PAIR = { model: { file: "pair.onnx", sha256: "0".repeat(64), bytes: 3 } };

async function* parts(...lengths: number[]): AsyncGenerator<Uint8Array> {
  for (const length of lengths) yield new Uint8Array(length).fill(length);
}

test("a graph is put together of its parts, and tells how far it is", async () => {
  const loading = vi.fn();
  expect([...(await bytesOf(parts(1, 2), PAIR, { loading }))]).toEqual([1, 2, 2]);
  expect(loading.mock.calls).toEqual([
    [1, 3],
    [3, 3],
  ]);
});

test.each([
  ["less", parts(1, 1)],
  ["more", parts(2, 2)],
])(
  "a graph of %s bytes than the description says is refused, where nothing is hashed",
  async (_, graph) => {
    await expect(bytesOf(graph, PAIR, { loading: () => {} })).rejects.toThrow("is not the file");
  },
);

test.each([
  [new RangeError("Array buffer allocation failed"), true],
  [new Error("std::bad_alloc"), true],
  [new Error("no such operator"), false],
])("%s: is it memory? %s", (error, memory) => {
  expect(isMemory(error)).toBe(memory);
});
