/** A visit: what anyone meets who opens the page. */

import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { launch } from "./chromium.ts";
import { complaints, finished, MODEL, pixels, scale } from "./page.ts";
import { type Site, site } from "./site.ts";

const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };

let server: Site;
let browser: Browser;
let visitor: BrowserContext;
let page: Page;

beforeAll(async () => {
  server = await site(MODEL);
  browser = await launch();
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
});

beforeEach(async () => {
  visitor = await browser.newContext();
  page = await visitor.newPage();
});

afterEach(() => visitor.close());

test("the page opens without a complaint, and all its parts fill", async () => {
  const said = complaints(page);
  await page.addInitScript(() => {
    const loading = new Set<string>();
    Object.assign(window, { loading });
    new MutationObserver(() => {
      for (const { textContent } of document.querySelectorAll(".loading")) loading.add(textContent);
    }).observe(document, { subtree: true, childList: true });
  });
  await page.goto(`${server.address}#steps=5`);
  await finished(page);
  await page
    .getByRole("region", { name: "The same noise under a rising scale" })
    .scrollIntoViewIfNeeded();
  await page.locator("[data-scale='20'][data-filled]").waitFor();
  await page.getByRole("region", { name: "Draw and change" }).scrollIntoViewIfNeeded();
  await page.locator(".edit[aria-busy=false][data-step='5']").waitFor();
  expect(said).toEqual([]);
  const loading = await page.evaluate(() => [
    ...(window as unknown as { loading: Set<string> }).loading,
  ]);
  expect(loading.slice(-2)).toEqual(["Loading the model", "Starting the model"]);
});

test("what is asked for while the model loads is what is made once it is there", async () => {
  let arrives = () => {};
  const waiting = new Promise<void>((resolve) => {
    arrives = resolve;
  });
  await page.route("**/pair.onnx*", async (route) => {
    await waiting;
    await route.continue();
  });
  await page.goto(`${server.address}#scale=5&steps=4`);
  await scale(page).focus();
  await page.keyboard.press("Home");
  expect(await page.locator(".loading").count()).toBe(1);
  expect(await page.locator("[data-step]:not([data-step=''])").count()).toBe(0);
  arrives();
  await finished(page);
  expect(await page.locator(".loading").count()).toBe(0);
  const [guided, unguided] = [page.locator(".row.guided"), page.locator(".row.unguided")];
  expect(await pixels(guided)).toEqual(await pixels(unguided));
});

test("the networks run in a worker, and the page never loads them", async () => {
  await page.goto(`${server.address}#steps=4`);
  await finished(page);
  expect(page.workers()).toHaveLength(1);
  const loaded = await page.evaluate(() =>
    performance.getEntriesByType("resource").map((entry) => entry.name.split("/").pop()),
  );
  expect(loaded.filter((name) => /\.(wasm|onnx)/.test(name ?? ""))).toEqual([]);
});

test("dragging the scale changes the guided pictures and leaves the others", async () => {
  await page.goto(`${server.address}#scale=0&steps=6`);
  await finished(page);
  const [guided, unguided] = [page.locator(".row.guided"), page.locator(".row.unguided")];
  const before = { guided: await pixels(guided), unguided: await pixels(unguided) };
  expect(before.guided).toEqual(before.unguided);
  const box = (await scale(page).boundingBox())!;
  await page.mouse.move(box.x + 17, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2, { steps: 8 });
  await page.mouse.up();
  await expect.poll(() => pixels(guided)).not.toEqual(before.guided);
  await finished(page);
  expect(await pixels(unguided)).toEqual(before.unguided);
  await expect.poll(() => page.url()).toMatch(/scale=(9|10)(\.\d)?&/);
});

test("on a slow device what was there stays: no noise while a slider is held", async () => {
  await slow(page, 60);
  await page.goto(`${server.address}#scale=0&steps=30&target=3`);
  await finished(page);
  const guided = page.locator(".row.guided");
  const before = await pixels(guided);
  await recordSteps(page);
  const box = (await scale(page).boundingBox())!;
  await page.mouse.move(box.x + 17, box.y + box.height / 2);
  await page.mouse.down();
  let moves = 0;
  const dragged = async () => {
    moves += 1;
    await page.mouse.move(box.x + 17 + ((20 * moves) % 200), box.y + box.height / 2);
    return pixels(guided);
  };
  await expect.poll(dragged, { timeout: 20_000 }).not.toEqual(before);
  expect(new Set(await recorded(page))).toEqual(new Set([30]));
  await page.mouse.up();
  // Once it is let go, and for one tap, the walk is watched.
  await expect.poll(async () => new Set(await recorded(page)).size).toBeGreaterThan(1);
  await finished(page);
  await recordSteps(page);
  await page.locator("[data-scale='12']").dispatchEvent("click");
  await finished(page);
  await expect.poll(async () => new Set(await recorded(page)).size).toBeGreaterThan(1);
  await page.locator(".stage").getByRole("button", { name: "8", exact: true }).click();
  const walk = page.getByRole("slider", { name: "Step of the walk" });
  await walk.press("End");
  await walk.press("ArrowLeft");
  await page.waitForTimeout(200);
  expect(await walk.inputValue()).toBe("29");
});

test("the drawing is worked on first where it is looked at, and is headed by what it shows", async () => {
  await slow(page, 25);
  await page.goto(`${server.address}#steps=5&target=3&scale=2`);
  await finished(page);
  const edit = page.locator(".edit");
  await edit.scrollIntoViewIfNeeded();
  await edit.getByRole("slider").scrollIntoViewIfNeeded();
  await page.locator(".edit[aria-busy=false][data-step]").waitFor();
  // What the card says of itself whenever it changes, however quickly that is.
  const told = await page.evaluateHandle(() => {
    const card = document.querySelector(".edit");
    const seen: string[] = [];
    new MutationObserver(() => {
      const state = card?.hasAttribute("data-waits") ? "waits" : "shows";
      const heading = card?.querySelector(".back .about")?.textContent;
      const row = document.querySelector(".row.guided");
      const made = row?.matches("[aria-busy=false]") && row.textContent?.includes("towards 8");
      seen.push(`${state} ${heading}, row ${made ? "made" : "not yet"}`);
    }).observe(card as Element, { attributes: true });
    return seen;
  });
  await edit.getByRole("button", { name: "8", exact: true }).click();
  await expect
    .poll(async () => (await told.jsonValue()).at(-1) ?? "", { timeout: 30_000 })
    .toMatch(/^shows as 8/);
  const seen = await told.jsonValue();
  expect(seen[0]).toMatch(/^waits as 3, s = 2/);
  expect(seen.find((state) => state.startsWith("shows"))).toBe("shows as 8, s = 2, row not yet");
});

test("a picture is taken into the drawing only while a finished one is shown", async () => {
  await page.goto(`${server.address}#steps=50&target=3&scale=2`);
  await finished(page);
  // Whether it could be taken, and the step that is shown, whenever either changes.
  const told = await page.evaluateHandle(() => {
    const take = document.querySelector(".edit .tools button:last-child");
    const tile = document.querySelector(".row.guided [data-picture='0']");
    const seen: string[] = [];
    const observer = new MutationObserver(() => {
      const taken = take?.hasAttribute("disabled") ? "not yet" : "ready";
      seen.push(`${taken} at ${tile?.getAttribute("data-step") === "50" ? "the end" : "a step"}`);
    });
    for (const each of [take, tile]) observer.observe(each as Element, { attributes: true });
    return seen;
  });
  await page.locator(".stage").getByRole("button", { name: "8", exact: true }).click();
  await expect
    .poll(async () => new Set(await told.jsonValue()), { timeout: 30_000 })
    .toEqual(new Set(["not yet at a step", "ready at the end"]));
});

test("a touch on a phone asks for another class, and nothing is wider than the screen", async () => {
  await visitor.close();
  visitor = await browser.newContext(PHONE);
  page = await visitor.newPage();
  await page.goto(`${server.address}#steps=4`);
  await finished(page);
  const before = await pixels(page.locator(".row.guided"));
  await page.locator(".stage").getByRole("button", { name: "8", exact: true }).tap();
  await expect.poll(() => page.url()).toContain("target=8");
  await finished(page);
  expect(await pixels(page.locator(".row.guided"))).not.toEqual(before);
  const [wide, screen] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    window.innerWidth,
  ]);
  expect(wide).toBe(screen);
});

test("a class name without a space is no wider than a phone", async () => {
  await visitor.close();
  visitor = await browser.newContext(PHONE);
  page = await visitor.newPage();
  await page.route("**/pair.json", async (route) => {
    const told = await (await route.fetch()).json();
    const class_names = told.class_names.map((name: string) => name.padEnd(200, "x"));
    await route.fulfill({ json: { ...told, class_names } });
  });
  await page.goto(`${server.address}#steps=2`);
  await finished(page);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  expect(wide).toBe(PHONE.viewport.width);
});

test("the keyboard alone reaches the class, the scale, the steps and the drawing", async () => {
  await page.goto(`${server.address}#steps=4&scale=2`);
  await finished(page);
  await tabTo(page, "8");
  await page.keyboard.press("Enter");
  await expect.poll(() => page.url()).toContain("target=8");
  await tabTo(page, "How strongly? Scale of the guidance");
  await page.keyboard.press("ArrowRight");
  await expect.poll(() => page.url()).toContain("scale=2.1");
  await tabTo(page, "Noise to picture: step of the walk");
  await page.keyboard.press("Home");
  await expect.poll(() => page.url()).toContain("at=0");
  await expect.poll(() => page.locator("[data-row=guided][data-step='0']").count()).toBe(4);
  await tabTo(page, "Field to draw on");
  const drawn = page.locator(".pen");
  const before = await pixels(drawn);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Space");
  expect(await pixels(drawn)).not.toEqual(before);
});

test("what the eye reads of a slider is what it is called", async () => {
  await page.goto(`${server.address}#steps=2`);
  await finished(page);
  const sliders = await page.locator("input[type=range]").all();
  expect(sliders.length).toBe(5);
  for (const slider of sliders) {
    const id = await slider.getAttribute("id");
    const read = await page.locator(`label[for=${id}]`).textContent();
    const called = await slider.getAttribute("aria-label");
    expect(called?.slice(0, read?.length)).toBe(read);
  }
});

test("the walk is played from noise to the picture, and stops there", async () => {
  await page.goto(`${server.address}#steps=6`);
  await finished(page);
  const end = await pixels(page.locator(".row.guided"));
  await recordSteps(page);
  await page.getByRole("button", { name: "Play all steps" }).click();
  await expect.poll(() => recorded(page), { timeout: 30_000 }).toContain(6);
  const seen = await recorded(page);
  expect(seen[0]).toBe(0);
  expect(seen.at(-1)).toBe(6);
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  expect(await pixels(page.locator(".row.guided"))).toEqual(end);
  await page.getByRole("button", { name: "Play all steps" }).waitFor();
});

test("every control has a name", async () => {
  await page.goto(`${server.address}#steps=4`);
  await finished(page);
  const controls = page.locator("button, input, [tabindex='0']");
  const names = await controls.evaluateAll((all) =>
    all.map((control) => {
      const labels = (control as HTMLInputElement).labels;
      const label = Array.from(labels ?? [], (each) => each.textContent).join(" ");
      return control.getAttribute("aria-label") ?? (label || control.textContent) ?? "";
    }),
  );
  expect(names.length).toBeGreaterThan(50);
  expect(names.filter((name) => name.trim() === "")).toEqual([]);
});

test("a link that was sent shows the same", async () => {
  const shown = async () => ({
    pictures: await pixels(page.locator(".rows")),
    view: await page.locator("input[type=radio]:checked").inputValue(),
    scale: await scale(page).inputValue(),
    target: await page.locator(".stage .target input").inputValue(),
  });
  await page.goto(`${server.address}#steps=6`);
  await finished(page);
  await page.locator(".stage .target input").fill("3|7");
  await page.getByRole("radio", { name: "Predicted end" }).check();
  await page.getByRole("slider", { name: "Number of steps" }).press("ArrowRight");
  await scale(page).press("PageUp");
  await page.locator("[data-row=guided][data-picture='2']").click();
  await page.getByRole("slider", { name: "Step of the walk" }).press("ArrowLeft");
  await expect.poll(() => page.url()).toMatch(/steps=7.*at=6.*picture=2/);
  await finished(page);
  const before = await shown();
  await page.reload();
  await finished(page);
  expect(await shown()).toEqual(before);
  expect(before).toMatchObject({ view: "x0", target: "3|7" });
});

test("what makes no sense in a link is said and replaced", async () => {
  await page.goto(`${server.address}#scale=900&target=cow&steps=4`);
  await finished(page);
  const said = await page.locator(".complaints li").allTextContents();
  expect(said).toHaveLength(2);
  expect(said.join(" ")).toContain("no number from 0 to 20");
  expect(await scale(page).inputValue()).toBe("3");
  await scale(page).press("ArrowRight");
  expect(await page.locator(".complaints").count()).toBe(0);
});

test("a target that means nothing is said once the user rests, and the pictures stay", async () => {
  await page.goto(`${server.address}#steps=4`);
  await finished(page);
  const before = await pixels(page.locator(".rows"));
  const field = page.locator(".stage .target input");
  const said = page.locator(".stage .classes .said");
  const rows = await page.locator(".rows").boundingBox();
  await field.fill("");
  await field.pressSequentially("3|", { delay: 20 });
  expect(await said.textContent()).toBe("");
  expect(await field.getAttribute("aria-invalid")).toBeNull();
  await expect.poll(() => said.textContent()).toContain("lacks a class");
  expect(await page.locator(".rows").boundingBox()).toEqual(rows);
  await field.press("7");
  expect(await said.textContent()).toBe("");
  await field.fill("!");
  await field.press("Enter");
  expect(await said.textContent()).toContain("No class follows the !");
  await field.fill("3");
  await expect.poll(() => pixels(page.locator(".rows"))).toEqual(before);
});

test("a seed that is none is said, until another noise is asked for", async () => {
  await page.setViewportSize(PHONE.viewport);
  await page.goto(`${server.address}#steps=4&seed=4294967295`);
  await finished(page);
  const seed = page.getByLabel("Seed");
  const cut = await seed.evaluate((field) => field.scrollWidth - field.clientWidth);
  expect(cut).toBeLessThanOrEqual(0);
  await seed.fill("abc");
  await seed.press("Tab");
  expect(await page.locator(".settings .said").textContent()).toContain("from 0 to 4294967295");
  expect(await seed.getAttribute("aria-invalid")).toBe("true");
  await page.getByRole("button", { name: "Other noise" }).click();
  await expect.poll(() => seed.inputValue()).toMatch(/^\d+$/);
  expect(await seed.getAttribute("aria-invalid")).toBeNull();
  expect(await page.locator(".settings .said").textContent()).toBe("");
});

test("a walk that gets other steps is no longer played", async () => {
  await page.goto(`${server.address}#steps=40`);
  await finished(page);
  await page.getByRole("button", { name: "Play all steps" }).click();
  const step = page.getByRole("slider", { name: "Step of the walk" });
  await expect.poll(async () => Number(await step.inputValue())).toBeLessThan(40);
  const steps = page.getByRole("slider", { name: "Number of steps" });
  await steps.press("Home");
  await steps.press("ArrowRight");
  await page.getByRole("button", { name: "Play all steps" }).waitFor();
  await finished(page);
  await page.waitForTimeout(400); // The address has the state by then.
  await page.reload();
  await finished(page);
  expect(page.url()).toContain("steps=2&");
  expect(await page.locator(".complaints").count()).toBe(0);
});

test("the link that is copied has what was changed a moment ago", async () => {
  await visitor.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.goto(`${server.address}#steps=4&scale=1`);
  await finished(page);
  await scale(page).focus();
  const copied = await page.evaluate(async () => {
    const slider = document.activeElement as HTMLInputElement;
    slider.value = "7";
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    const tools = [...document.querySelectorAll<HTMLElement>("button.tool")];
    tools.find((tool) => tool.textContent === "Copy link")!.click();
    await new Promise((resolve) => setTimeout(resolve, 100));
    return navigator.clipboard.readText();
  });
  expect(copied).toMatch(/^http:.*#.*scale=7&/);
});

test("the gradients say their size, and the step in numbers is the one that shows most", async () => {
  await page.goto(`${server.address}#steps=6&scale=5&view=gradient`);
  await finished(page);
  expect(await page.locator(".pull").textContent()).toMatch(
    /Largest in picture 1 at step 5: guided \S+, full colour at \S+; unguided \S+, full/,
  );
  await page.getByRole("radio", { name: "The picture" }).check();
  await page.locator(".pull").waitFor({ state: "hidden" });
  const numbers = page.locator(".numbers > :last-child");
  expect(await numbers.textContent()).toContain("where the classifier pulls hardest");
  await page.getByRole("slider", { name: "Step of the walk" }).press("Home");
  await expect.poll(() => numbers.textContent()).toContain("from step 0 to 1 of 6: ");
});

test("the page works again without a network", async () => {
  await page.goto(`${server.address}#steps=4`);
  await page.locator("#offline:not([hidden])").waitFor();
  const before = await pixels(page.locator(".row.guided"));
  await visitor.setOffline(true);
  await server.close();
  try {
    await page.reload();
    await finished(page);
    expect(await pixels(page.locator(".row.guided"))).toEqual(before);
    await page.getByRole("link", { name: "Licences" }).click();
    await page.getByText("It contains onnxruntime-web").waitFor();
  } finally {
    server = await site(MODEL);
  }
});

/** Let the page hear of every step only so many milliseconds after the one before. */
async function slow(page: Page, milliseconds: number): Promise<void> {
  await page.addInitScript((each) => {
    window.Worker = class extends Worker {
      override set onmessage(hear: (event: MessageEvent) => void) {
        let last = Promise.resolve();
        super.onmessage = (event) => {
          last = last
            .then(() => new Promise((resolve) => setTimeout(resolve, each)))
            .then(() => hear(event));
        };
      }
    };
  }, milliseconds);
}

/** From now on, keep which steps the first picture shows: a slow machine sees each for a moment. */
async function recordSteps(page: Page): Promise<void> {
  await page.evaluate(() => {
    const steps: number[] = [];
    Object.assign(window, { steps });
    const first = "[data-row=guided][data-picture='0']";
    new MutationObserver((changes) => {
      for (const { target } of changes) {
        const { step } = (target as HTMLElement).dataset;
        if ((target as Element).matches(first) && step !== undefined) steps.push(Number(step));
      }
    }).observe(document.body, { subtree: true, attributeFilter: ["data-step"] });
  });
}

function recorded(page: Page): Promise<number[]> {
  return page.evaluate(() => (window as unknown as { steps: number[] }).steps);
}

/** Press Tab until the focus is on what is called so. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let i = 0; i < 80; i++) {
    await page.keyboard.press("Tab");
    const called = await page.evaluate(() => {
      const { activeElement } = document;
      return activeElement?.getAttribute("aria-label") ?? activeElement?.textContent ?? "";
    });
    if (called.startsWith(name)) return;
  }
  throw new Error(`Tab does not come to ${name}`);
}
