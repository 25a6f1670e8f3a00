/** The status page at home in a real browser: what it says, and that the form for the PIN works as browsers send it. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { StatusFacts } from "../../../appliance/life/judgement.ts";
import { launchBrowser, missingForBrowser, readQrCodes } from "../../support/browser.ts";
import { homePin, runSignUp } from "./running-sign-up.ts";

/** Chromium's own start on a loaded machine. */
const TIMEOUT = 60_000;

const missing = missingForBrowser();
const facts: StatusFacts = {
  ...{ isReady: true, isHealthy: false, domain: "_a.test", signUp: "invite", units: 12 },
  findings: [{ about: "canary dns", lines: ["canary: mail goes to mx.example.net (MX)"] }],
  addresses: ["192.168.1.5"],
};

it.skipIf(missing !== undefined)(
  `the page at home says what to do, and shows an invitation for the PIN (${missing ?? "in Chromium"})`,
  async () => {
    await using running = await runSignUp();
    await writeFile(join(running.folder, "status.json"), JSON.stringify(facts));
    await running.control("PUT", "/sign-up", { mode: "invite" });
    const rules = `--host-resolver-rules=MAP homing.local 127.0.0.1:${running.httpPort}`;
    const browser = await launchBrowser([rules, "--lang=de"]);
    try {
      const page = await browser.newPage();
      await page.setExtraHTTPHeaders({ "accept-language": "de" });
      await page.setViewport({ width: 390, height: 844, deviceScaleFactor: 2 });
      await page.goto("http://homing.local/");
      expect(await page.title()).toBe("Dein Relay braucht dich – _a.test");
      expect(await page.$eval("h2", (element) => element.textContent)).toBe("Dein DNS führt nicht hierher");
      const enter = async (pin: string) => {
        await page.type("input[name=pin]", pin);
        await Promise.all([page.waitForNavigation(), page.click("form button")]);
      };
      await enter("9999 9999");
      expect(await page.$eval("[role=alert]", (element) => element.textContent)).toBe(
        "Das ist nicht die PIN.",
      );
      await enter(homePin);
      const [code] = readQrCodes(await page.screenshot());
      expect(code).toMatch(/^https:\/\/_a\.test\/i\/[\w-]{24}$/);
    } finally {
      await browser.close();
    }
  },
  TIMEOUT,
);
