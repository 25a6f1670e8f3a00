/**
 * A real browser for tests of pages: Debian's Chromium, driven by puppeteer-core, and zbarimg, which reads QR codes as
 * a phone does.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { type Browser, launch } from "puppeteer-core";

const chromium = "/usr/bin/chromium";

/** Why pages cannot be looked at here; undefined when they can. */
export function missingForBrowser(): string | undefined {
  if (!existsSync(chromium)) return "needs Debian's chromium";
  if (spawnSync("zbarimg", ["--version"]).status !== 0) return "needs zbarimg";
  return undefined;
}

export function launchBrowser(args: readonly string[] = []): Promise<Browser> {
  return launch({
    executablePath: chromium,
    headless: true,
    // Chromium's own sandbox does not start as root; /dev/shm is small in containers.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", ...args],
  });
}

/** The texts of the QR codes in a picture. */
export function readQrCodes(picture: Uint8Array): string[] {
  const output = execFileSync("zbarimg", ["--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", "-"], {
    input: picture,
    encoding: "utf8",
  });
  return output.trimEnd().split("\n");
}
