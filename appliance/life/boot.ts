/**
 * Run by homing-configure.service at every boot, before mail and everything that speaks to the network:
 * takes over the relay folder from the boot partition (import-relay.ts), makes what only the device can make,
 * and writes the configuration of all programs from relay.toml. Fails loudly: mail then does not start.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { runPaths } from "../layout.ts";
import { configureDevice } from "./configure.ts";

const say = (text: string): void => {
  for (const line of text.split("\n")) console.log(`homing: ${line}`);
};

/** Their texts are for the person at the console; of any other error the place in the program matters. */
const knownErrors = new Set(["ConfigureError", "ImportError", "RelayConfigError", "TlsKeyError"]);

await rm(runPaths.configureProblem, { force: true });
try {
  const machine = { memoryBytes: totalmem() };
  await configureDevice({
    root: "/",
    say,
    now: new Date(),
    machine,
    program: fileURLToPath(import.meta.url),
  });
} catch (error) {
  const known = error instanceof Error && knownErrors.has(error.name);
  const text = known ? error.message : ((error as Error).stack ?? String(error));
  say(`NOT CONFIGURED, mail stays off: ${text}`);
  process.exitCode = 1;
  // For the status page, which outlives the lines on the console.
  await mkdir(dirname(runPaths.configureProblem), { recursive: true });
  await writeFile(runPaths.configureProblem, `${known ? text : String(error)}\n`);
}
