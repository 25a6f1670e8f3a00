/** Invitations and puzzles as people see them, in a real browser. Pictures go to test/output/web. */
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchBrowser, missingForBrowser, readQrCodes } from "../../support/browser.ts";
import { openPort, type RunningSignUp, runSignUp } from "./running-sign-up.ts";

const missing = missingForBrowser();
const output = join(import.meta.dirname, "../../output/web");
const widths = [320, 1280];
const themes = ["light", "dark"] as const;
/** A browser on a busy machine takes some seconds for the puzzle. */
const PUZZLE_TIMEOUT = 60_000;

describe.skipIf(missing)(`sign-up in a browser${missing ? ` (${missing})` : ""}`, () => {
  let running: RunningSignUp;
  let door: Awaited<ReturnType<typeof openPort>>;
  let browser: Browser;
  let axe: string;
  beforeAll(async () => {
    await mkdir(output, { recursive: true });
    running = await runSignUp();
    door = await openPort(running.webSocket);
    browser = await launchBrowser(["--ignore-certificate-errors"]);
    axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  });
  afterAll(async () => {
    await browser?.close();
    door?.close();
    await running?.[Symbol.asyncDispose]();
  });

  const urlOf = (path: string): string => `https://127.0.0.1:${door.port}${path}`;
  async function open(path: string, { script = true } = {}): Promise<{ page: Page; errors: string[] }> {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warn") errors.push(message.text());
    });
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.setJavaScriptEnabled(script);
    await page.setExtraHTTPHeaders({ "accept-language": "de" });
    await page.goto(urlOf(path), { waitUntil: "load" });
    return { page, errors };
  }
  /** Fits narrow and wide screens, in both themes, and everybody can read it. */
  async function look(page: Page, name: string): Promise<void> {
    for (const theme of themes) {
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
      for (const width of widths) {
        await page.setViewport({ width, height: 900 });
        expect(await page.evaluate("document.documentElement.scrollWidth"), name).toBeLessThanOrEqual(width);
        await page.screenshot({ path: join(output, `${name}-${width}-${theme}.png`), fullPage: true });
      }
      await page.evaluate(axe);
      const found = (await page.evaluate("axe.run()")) as { violations: { id: string }[] };
      expect(found.violations.map(({ id }) => id)).toEqual([]);
    }
  }

  it("an invitation leads to the app by button and QR code, and says when it is used up", async () => {
    await running.control("PUT", "/sign-up", { mode: "invite" });
    const { token } = await running.control("POST", "/invites", { uses: "2", note: "" });
    const link = `dcaccount:https://_a.test/new?t=${token}`;
    const { page, errors } = await open(`/i/${token}`);
    expect(await page.$eval(".sign-up .button", (button) => button.getAttribute("href"))).toBe(link);
    expect(readQrCodes(await (await page.$(".qr-code"))!.screenshot())).toEqual([link]);
    await look(page, "de-invite");
    for (let i = 0; i < 2; i++) {
      const status = await page.evaluate(
        `fetch("/new?t=${token}", { method: "POST" }).then((r) => r.status)`,
      );
      expect(status).toBe(200);
    }
    expect(errors).toEqual([]);
    await page.reload();
    expect(await page.$eval("main", (main) => main.textContent)).toContain("Diese Einladung wurde schon");
    expect(await page.$(".sign-up")).toBeNull();
    await look(page, "de-refusal");
    await page.close();
  });

  it("in a flood the browser works for a link that makes an account, once", async () => {
    await running.control("PUT", "/sign-up", { mode: "open" });
    const flood = await open("/info");
    const post = (path: string) => `fetch(${JSON.stringify(path)}, { method: "POST" }).then((r) => r.status)`;
    // The network of this browser may make two.
    const statuses: unknown[] = [];
    for (let i = 0; i < 3; i++) statuses.push(await flood.page.evaluate(post("/new")));
    expect(statuses.at(-1)).toBe(429);
    await flood.page.close();
    const { page, errors } = await open("/new");
    await page.waitForSelector(".proof .button:not([hidden])", { timeout: PUZZLE_TIMEOUT });
    expect(await page.$eval(".proof progress", ({ value, max }) => value / max)).toBe(1);
    expect(await page.$eval("[role=status]", (state) => state.textContent)).toContain("Fertig");
    const link = await page.$eval(".proof .button", (button) => button.getAttribute("href"));
    const path = /^dcaccount:https:\/\/_a\.test(\/new\?proof=.+)$/.exec(link!)![1]!;
    await look(page, "de-proof");
    expect(await page.evaluate(post(path))).toBe(200);
    expect(await page.evaluate(post(path))).toBe(429);
    expect(errors.filter((text) => !text.includes("429"))).toEqual([]);
    await page.close();
  });

  it("without script the page of a busy relay says what to do", async () => {
    const { page } = await open("/new", { script: false });
    expect(await page.$eval("main", (main) => main.textContent)).toContain("Browser mit JavaScript");
    expect(await page.$eval(".proof .button", (button) => button.checkVisibility())).toBe(false);
    await page.close();
  });
});
