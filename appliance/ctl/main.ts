/**
 * homing-ctl, the operator's command on the device: `homing-ctl VERB …`, run by root. It shows and changes the running relay
 * by asking its services; what needs another image or another relay.toml is not done here.
 * Exit codes: 0 done, 1 failed, 2 wrong usage.
 */
import { rm } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { HOMING_VERSION, runPaths } from "../layout.ts";
import { nearestName } from "../nearest.ts";
import { AttentionNeeded, type CtlCommand, type CtlIo, CtlUsageError } from "./command.ts";
import { account } from "./commands/account.ts";
import { certificate } from "./commands/certificate.ts";
import { expire } from "./commands/expire.ts";
import { invite } from "./commands/invite.ts";
import { signUp } from "./commands/sign-up.ts";
import { status } from "./commands/status.ts";
import { askControl, askControlLines, ControlError } from "./control-client.ts";
import { openLastLogins } from "./last-logins.ts";
import { confirm, runProgram, runProgramLines } from "./terminal.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const verbs: Readonly<Record<string, CtlCommand>> = {
  status,
  "sign-up": signUp,
  invite,
  account,
  certificate,
  expire,
};

function overview(): string {
  const width = Math.max(...Object.keys(verbs).map((name) => name.length));
  return [
    "homing-ctl shows and changes this relay while it runs.",
    "",
    "Usage: homing-ctl COMMAND [OPTIONS]",
    "",
    ...Object.entries(verbs).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`),
    "",
    "  homing-ctl COMMAND --help   what a command does and which options it takes",
    "  homing-ctl --version        which version this is",
    "",
  ].join("\n");
}

/** Runs one command line. Resolves to the exit code; writes only to `io`. */
export async function runCtl(args: readonly string[], io: CtlIo): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    io.stdout.write(overview());
    return 0;
  }
  if (name === "--version") {
    io.stdout.write(`homing-ctl ${HOMING_VERSION}\n`);
    return 0;
  }
  const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
  if (verb === undefined) {
    const nearest = nearestName(name, Object.keys(verbs));
    io.stderr.write(
      `homing-ctl: there is no command “${name}”.${nearest ? ` Did you mean “${nearest}”?` : ""}\n` +
        `The commands are ${Object.keys(verbs).join(", ")}; homing-ctl --help tells more.\n`,
    );
    return EXIT_USAGE;
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    io.stdout.write(`Usage: homing-ctl ${verb.usage}\n\n${verb.help.trim()}\n`);
    return 0;
  }
  try {
    await verb.run(rest, io);
    return 0;
  } catch (error) {
    if (error instanceof CtlUsageError) {
      io.stderr.write(`homing-ctl: ${error.message}\nUsage: homing-ctl ${verb.usage}\n`);
      return EXIT_USAGE;
    }
    if (error instanceof AttentionNeeded) return EXIT_FAILED;
    if (!(error instanceof ControlError)) throw error;
    io.stderr.write(`homing-ctl: ${error.message}\n`);
    return EXIT_FAILED;
  }
}

if (import.meta.main) {
  // Whoever reads has enough: `homing-ctl account list | head`.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(0);
  });
  process.exitCode = await runCtl(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    ask: askControl(runPaths.controlSocket),
    askLines: askControlLines(runPaths.controlSocket),
    lastLogins: (tell) => openLastLogins(runPaths.metadataSocket, tell),
    run: runProgram,
    runLines: runProgramLines,
    confirm,
    pause: (ms) => setTimeout(ms),
    // Without what it was made of, the page counts as changed (appliance/files/status.ts).
    renewStatus: () => rm(runPaths.state, { force: true }),
    now: () => Date.now() / 1000,
  });
}
