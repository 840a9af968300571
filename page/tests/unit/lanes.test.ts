import { expect, test } from "vitest";
import { Lanes, type Report } from "../../src/lanes.ts";

type Name = "row" | "beside" | "strip";

const listen = () => new Promise<void>((resolve) => setTimeout(resolve));

async function* counting(name: string, parts: number): AsyncGenerator<string> {
  for (let i = 1; i <= parts; i++) yield `${name}${i}`;
}

function lanes(): Lanes<Name, string> {
  return new Lanes<Name, string>([["row", "beside"], ["strip"]], listen);
}

/** Tells all parts to `told`, and resolves at the end. */
function reported(told: string[], begin: (report: Report<string>) => void): Promise<void> {
  return new Promise((resolve) => {
    begin({
      part: (part) => told.push(part),
      done: resolve,
      failed: (error) => {
        told.push(String(error));
        resolve();
      },
    });
  });
}

test("lanes of a group take turns, and a later group waits", async () => {
  const [work, told] = [lanes(), [] as string[]];
  await Promise.all(
    (["strip", "row", "beside"] as const).map((name) =>
      reported(told, (report) => work.start(name, counting(name, 2), report)),
    ),
  );
  // The strip had begun before there was anything else to do.
  expect(told.slice(0, 1)).toEqual(["strip1"]);
  expect(told.slice(1, 5).sort()).toEqual(["beside1", "beside2", "row1", "row2"]);
  expect(told.slice(1, 3).sort()).toEqual(["beside1", "row1"]);
  expect(told.at(-1)).toBe("strip2");
});

test("a newer task cancels the older between two steps, and it tells nothing more", async () => {
  const [work, told] = [lanes(), [] as string[]];
  let older = 0;
  work.start("row", counting("old", 1000), {
    part: () => {
      older += 1;
    },
    done: () => told.push("the old one ended"),
    failed: () => told.push("the old one failed"),
  });
  await listen();
  await listen();
  await reported(told, (report) => work.start("row", counting("new", 2), report));
  expect(older).toBeGreaterThan(0);
  expect(older).toBeLessThan(1000);
  expect(told).toEqual(["new1", "new2"]);
});

test("a task that fails is reported, and the next one works", async () => {
  const [work, told] = [lanes(), [] as string[]];
  async function* failing(): AsyncGenerator<string> {
    yield "one";
    throw new Error("no memory");
  }
  await reported(told, (report) => work.start("row", failing(), report));
  await reported(told, (report) => work.start("row", counting("row", 1), report));
  expect(told).toEqual(["one", "Error: no memory", "row1"]);
});

test("what the user looks at comes first", async () => {
  const [work, told] = [lanes(), [] as string[]];
  work.see(["strip"]);
  await Promise.all(
    (["row", "beside", "strip"] as const).map((name) =>
      reported(told, (report) => work.start(name, counting(name, 3), report)),
    ),
  );
  // The row had begun before there was anything else to do.
  expect(told.slice(0, 4)).toEqual(["row1", "strip1", "strip2", "strip3"]);
  expect(told).toHaveLength(9);
});

test.each(["fails", "goes on", "ends"])(
  "a task that %s after a newer one took its lane over says nothing",
  async (how) => {
    const [work, told] = [lanes(), [] as string[]];
    let comes = () => {};
    async function* late(): AsyncGenerator<string> {
      await new Promise<void>((resolve) => {
        comes = resolve;
      });
      if (how === "fails") throw new Error("no memory");
      if (how === "goes on") yield "old";
    }
    work.start("row", late(), {
      part: (part) => told.push(part),
      done: () => told.push("done"),
      failed: (error) => told.push(String(error)),
    });
    await listen();
    const newer = reported(told, (report) => work.start("row", counting("new", 1), report));
    comes();
    await newer;
    expect(told).toEqual(["new1"]);
  },
);
