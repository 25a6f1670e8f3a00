/**
 * How long a browser works for an account on a busy relay: `node installer/launch.mjs --script
 * test/bench/proof-of-work.ts [RUNS]` (7 unless given). The real puzzle and the real program of web/proof-worker.js in
 * headless Chromium, slowed down as a weaker processor would be (CDP Emulation.setCPUThrottlingRate). Chromium slows
 * down pages alone, no workers, so the program runs in the page here. ÷4 stands for a usual phone, ÷6 for a weak one.
 * A new page each time, the compiler's work included. Markdown on stdout.
 */
import { readFile } from "node:fs/promises";
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import type { Browser } from "puppeteer-core";
import { createProofs, type Puzzle } from "../../services/auth/proof-of-work.ts";
import { launchBrowser, missingForBrowser } from "../support/browser.ts";

const RATES = [1, 4, 6];
/** Of one puzzle at the slowest. */
const PATIENCE_MS = 180_000;

async function main(runs: number): Promise<void> {
  const missing = missingForBrowser();
  if (missing !== undefined) throw new Error(missing);
  const program = await readFile(join(import.meta.dirname, "../../web/proof-worker.js"), "utf8");
  const proofs = createProofs(() => Date.now() / 1000);
  const browser = await launchBrowser();
  try {
    console.log(
      `${availableParallelism()} cores, load average before: ${loadavg()[0]!.toFixed(1)}; ${runs} puzzles each\n`,
    );
    console.log("| processor | fastest | median | slowest |");
    console.log("|-----------|--------:|-------:|--------:|");
    for (const rate of RATES) {
      const times: number[] = [];
      for (let run = 0; run < runs; run += 1) {
        const { seconds, proof } = await solve(browser, program, proofs.puzzle(), rate);
        if (proofs.check(proof)?.spend() !== true) throw new Error("the relay does not take the proof");
        times.push(seconds);
      }
      times.sort((a, b) => a - b);
      const cells = [times[0]!, times[Math.floor(runs / 2)]!, times.at(-1)!].map(
        (time) => `${time.toFixed(1)} s`,
      );
      console.log(`| ÷${rate}        | ${cells.join(" | ")} |`);
    }
  } finally {
    await browser.close();
  }
}

async function solve(
  browser: Browser,
  program: string,
  puzzle: Puzzle,
  rate: number,
): Promise<{ seconds: number; proof: string }> {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.emulateCPUThrottling(rate);
  const found = await page.evaluate(`(() => {
    let proof;
    const self = { postMessage: (said) => { proof = said.proof; } };
    const start = performance.now();
    ${program}
    self.onmessage({ data: ${JSON.stringify(puzzle)} });
    return { seconds: (performance.now() - start) / 1000, proof };
  })()`);
  await page.close();
  return found as { seconds: number; proof: string };
}

await main(Number(process.argv[2] ?? 7));
