/** The pages as people see them: in a real browser, in three widths, light and dark. Pictures go to test/output/web. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Preview, startPreview } from "../../../installer/web-preview.ts";
import { launchBrowser, missingForBrowser, readQrCodes } from "../../support/browser.ts";

const missing = missingForBrowser();
const output = join(import.meta.dirname, "../../output/web");
const widths = [320, 768, 1280];
const themes = ["light", "dark"] as const;
/** As long as a name may become. */
const domain = "chat.a-rather-long-name-for-a-small-relay.example.org";

describe.skipIf(missing)(`the pages in a browser${missing ? ` (${missing})` : ""}`, () => {
  let folder: string;
  let preview: Preview;
  let browser: Browser;
  beforeAll(async () => {
    await mkdir(output, { recursive: true });
    folder = await mkdtemp(join(tmpdir(), "homing-pages-"));
    await writeFile(join(folder, "relay.toml"), `domain = "${domain}"\ncontact = "operator@example.org"\n`);
    await mkdir(join(folder, "web"));
    preview = await startPreview({ folder, port: 0, note: () => {} });
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await preview?.close();
    await rm(folder, { recursive: true });
  });

  /** A new page, with everything that goes wrong in it. */
  async function open(path: string, { script = true } = {}): Promise<{ page: Page; errors: string[] }> {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warn") errors.push(message.text());
    });
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("requestfailed", (request) => errors.push(`${request.url()} failed`));
    page.on("request", (request) => {
      if (!request.url().startsWith(preview.url)) errors.push(`asked elsewhere: ${request.url()}`);
    });
    await page.setJavaScriptEnabled(script);
    await page.goto(new URL(path, preview.url).href, { waitUntil: "load" });
    return { page, errors };
  }

  describe.each(["en/", "de/", "en/info", "de/info", "en/privacy", "de/privacy", "de/nowhere"])(
    "%s",
    (path) => {
      it("fits every screen, can be read by everybody and says no error", async () => {
        const { page, errors } = await open(path);
        const name = path.replace("/", "-").replace(/-$/, "-home");
        for (const theme of themes) {
          await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
          for (const width of widths) {
            await page.setViewport({ width, height: 900 });
            const scroll = await page.evaluate("document.documentElement.scrollWidth");
            expect(scroll, `${path} ${width}`).toBeLessThanOrEqual(width);
            // Pictures take time: the home page whole, of the others the extremes.
            const isTelling =
              name.endsWith("home") ||
              `${width} ${theme}` === "320 light" ||
              `${width} ${theme}` === "1280 dark";
            if (isTelling)
              await page.screenshot({ path: join(output, `${name}-${width}-${theme}.png`), fullPage: true });
          }
          await page.evaluate(axe.source);
          const found = (await page.evaluate("axe.run()")) as {
            violations: { id: string; nodes: { html: string }[] }[];
          };
          expect(found.violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
        }
        // That the address leads nowhere is what the browser reports, and right.
        const expected = path === "de/nowhere" ? [expect.stringContaining("404")] : [];
        expect(errors).toEqual(expected);
        await page.close();
      });
    },
  );

  it("have a QR code that leads where the button leads, in both themes", async () => {
    const { page } = await open("en/");
    const href = await page.$eval(".sign-up .button", (button) => button.getAttribute("href"));
    expect(href).toBe(`dcaccount:https://${domain}/new`);
    for (const theme of themes) {
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
      const picture = await (await page.$(".qr-code"))!.screenshot();
      expect(readQrCodes(picture)).toEqual([href]);
    }
    await page.close();
  });

  it("work without script", async () => {
    const { page, errors } = await open("de/", { script: false });
    expect(await page.$eval(".button", (button) => button.getAttribute("href"))).toBe(
      `dcaccount:https://${domain}/new`,
    );
    expect(await page.$eval(".copy", (copy) => copy.checkVisibility())).toBe(false);
    expect(errors).toEqual([]);
    await page.close();
  });

  it("begin with a link to the content for those who use a keyboard", async () => {
    const { page } = await open("en/");
    await page.keyboard.press("Tab");
    const skip = "document.activeElement.className + document.activeElement.getBoundingClientRect().top";
    expect(await page.evaluate(skip)).toMatch(/^skip\d/);
    await page.keyboard.press("Enter");
    expect(await page.evaluate("document.activeElement.id")).toBe("content");
    await page.close();
  });

  it("say how it stands when one cannot sign up", async () => {
    for (const [mode, text] of [
      ["invite", "By invitation"],
      ["closed", "No new profiles at the moment"],
    ] as const) {
      await writeFile(
        join(folder, "relay.toml"),
        `domain = "${domain}"\ncontact = "operator@example.org"\nsign_up.mode = "${mode}"\n`,
      );
      const { page } = await open("en/");
      await page.waitForFunction(`document.body.innerText.includes(${JSON.stringify(text)})`);
      expect(await page.$(".sign-up")).toBeNull();
      await page.screenshot({ path: join(output, `en-home-${mode}.png`), fullPage: true });
      await page.close();
    }
  });

  it("are loaded again when the operator changes them", async () => {
    const { page } = await open("en/info");
    await mkdir(join(folder, "web", "en"));
    await writeFile(join(folder, "web", "en", "info.md"), "# Our own words");
    await page.waitForFunction('document.querySelector("h1").innerText === "Our own words"');
    await page.close();
  });
});
