/** `homing-ctl status`: one screen of what works, what does not, and what to do. */
import { execFile } from "node:child_process";
import { lstat, readdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { readVerdict } from "../../canary.ts";
import { dataDirectory, dataPaths, reaperStatePath, runPaths } from "../../layout.ts";
import type { StatusFacts } from "../../life/judgement.ts";
import { readOthersFile, readOthersJson } from "../../others-file.ts";
import { isReaperReport } from "../../reaper-report.ts";
import {
  AttentionNeeded,
  type CtlCommand,
  type CtlIo,
  CtlUsageError,
  parseCtlArgs,
  terminalLine,
  writeJson,
} from "../command.ts";
import { ControlError } from "../control-client.ts";
import { type Check, type Seen, statusChecks } from "../status-checks.ts";

/** Postfix' folders of messages that are not delivered yet (qmgr(8)). */
const queues = ["incoming", "active", "deferred", "hold"] as const;

export const status: CtlCommand = {
  summary: "what works, what does not, and what to do",
  usage: "status [--now] [--json]",
  help: `
One screen of how the relay is. Every ten minutes the relay sends a message to itself and looks at itself as a client
does; what it saw is part of it.

  --now     look now: takes some seconds
  --json    print the result for programs

Exit code 0: all is well. 1: something needs you, and it says what.
`,
  async run(args, io) {
    const { values, positionals } = parseCtlArgs(args, {
      json: { type: "boolean", default: false },
      now: { type: "boolean", default: false },
    });
    if (positionals.length > 0) throw new CtlUsageError(`there is no “${positionals.join(" ")}”`);
    const start = (unit: string) => promisify(execFile)("systemctl", ["start", unit]);
    // It ends with an error when something is wrong, and its verdict says what.
    if (values.now) await start("homing-probe.service").catch(() => {});
    await start("homing-status.service").catch((error: Error) => {
      throw new ControlError(`cannot look: ${error.message.trim()}`, { cause: error });
    });
    const seen = await lookAtRelay(io);
    const checks = statusChecks(seen, io.now());
    const needed = checks.filter(({ ok }) => !ok).length;
    if (values.json) {
      const { domain, addresses } = seen.facts;
      writeJson(io, { domain, healthy: needed === 0, addresses, checks });
    } else io.stdout.write(statusText(seen.facts.domain, checks));
    if (needed > 0) throw new AttentionNeeded();
  },
};

async function lookAtRelay(io: CtlIo): Promise<Seen> {
  const warn = (reason: string) => io.stderr.write(terminalLine(reason));
  // Of root's own making.
  const text = readOthersFile(runPaths.statusFacts, warn);
  const facts = text === undefined ? undefined : (JSON.parse(text) as StatusFacts);
  if (facts === undefined)
    throw new ControlError("nothing is known yet: see `journalctl --unit homing-status`");
  const { bavail, blocks, bsize } = await statfs(dataDirectory);
  return {
    facts,
    canary: readVerdict(readOthersFile(runPaths.canaryVerdict, warn)),
    queued: await countQueued(),
    expiry: readOthersJson(runPaths.reaperReport, isReaperReport, warn),
    lastExpiry: await timeOf(reaperStatePath),
    disk: { free: bavail * bsize, size: blocks * bsize },
  };
}

/** When a file was written, in Unix seconds; undefined when there is none. */
async function timeOf(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).mtimeMs / 1000;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw cause;
  }
}

/** Messages that wait. deferred and hold have a folder for each first letter. */
async function countQueued(): Promise<number> {
  const names = await Promise.all(
    queues.map(async (queue) => {
      const folder = join(dataPaths.postfix, "queue", queue);
      return await readdir(folder, { recursive: true, withFileTypes: true }).catch(
        (error: NodeJS.ErrnoException) => {
          // Not before the first start of Postfix; and a folder may go while it is read.
          if (error.code === "ENOENT") return [];
          throw error;
        },
      );
    }),
  );
  return names.flat().filter((entry) => entry.isFile()).length;
}

/** For a terminal of 80 columns or more. */
export function statusText(domain: string | null, checks: readonly Check[]): string {
  const wrong = checks.filter(({ ok }) => !ok).length;
  const width = Math.max(...checks.map(({ name }) => name.length));
  const head = `${domain ?? "This device"} ${wrong === 0 ? "works." : "needs attention."}`;
  const rows = checks.flatMap(({ name, ok, text, mend }) => [
    `  ${ok ? "ok   " : "WRONG"}  ${name.padEnd(width)}  ${text}`,
    ...(mend === null ? [] : [`${" ".repeat(width + 11)}→ ${mend}`]),
  ]);
  return [head, "", ...rows].map(terminalLine).join("");
}
