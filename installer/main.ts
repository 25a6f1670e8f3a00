/**
 * The command line: `./homing VERB …`, or the wizard without a verb. Started by installer/launch.mjs on Node 24. One
 * verb is one file in commands/, loaded only when it is called, so that `--help` answers at once.
 * Exit codes: 0 done, 1 failed, 2 wrong usage; stopped by Ctrl-C 130, by SIGTERM 143, by a closed terminal 129.
 */
import { fileURLToPath } from "node:url";
import { getSystemErrorMessage } from "node:util";
import { HOMING_VERSION } from "../appliance/layout.ts";
import { nearestName } from "../appliance/nearest.ts";
import { type Command, type CommandIo, print, UsageError } from "./command.ts";
import { errorWords } from "./error-words.ts";
import type { World } from "./wizard/real-effects.ts";

type Verb = Readonly<{ summary: string; load: () => Promise<{ command: Command }> }>;

/** In the order in which a newcomer needs them. Summaries stand here too: help loads no command. */
export const verbs: Readonly<Record<string, Verb>> = {
  init: {
    summary: "make a relay folder: settings, keys and the DNS records to publish",
    load: () => import("./commands/init.ts"),
  },
  build: {
    summary: "make a disk image from a relay folder, for a virtual machine or a Raspberry Pi",
    load: () => import("./commands/build.ts"),
  },
  flash: {
    summary: "write an image to a card or stick, and check it",
    load: () => import("./commands/flash.ts"),
  },
  vm: {
    summary: "boot a relay in QEMU on this computer",
    load: () => import("./commands/vm.ts"),
  },
  web: {
    summary: "show a relay's web pages on this computer while you change them",
    load: () => import("./commands/web.ts"),
  },
  keys: {
    summary: "show a relay's DKIM keys and DNS records, or change its DKIM key",
    load: () => import("./commands/keys.ts"),
  },
  wifi: {
    summary: "set the Wi-Fi network that a relay on a Raspberry Pi joins",
    load: () => import("./commands/wifi.ts"),
  },
  dns: {
    summary: "check a relay's DNS records, publish them, or print them",
    load: () => import("./commands/dns.ts"),
  },
  doctor: {
    summary: "look at this line to the Internet: what a relay on it could do",
    load: () => import("./commands/doctor.ts"),
  },
  audit: {
    summary: "check that everything in an image has a known origin",
    load: () => import("./commands/audit.ts"),
  },
  lock: {
    summary: "renew the list of Debian packages that images are made of",
    load: () => import("./commands/lock.ts"),
  },
  cache: {
    summary: "show what is kept of downloads and builds, and remove what nothing needs",
    load: () => import("./commands/cache.ts"),
  },
};

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** What stops a command in order, with its exit code: 128 and the signal's number, as in a shell. */
const stops = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/**
 * timeout(1), service managers and terminals that close signal the whole group, and the launcher hands its own signal on:
 * that much later the second is still the same word. In milliseconds, long for a machine under load.
 */
const SAME_WORD_MILLISECONDS = 1000;

function overview(): string {
  const width = Math.max(...Object.keys(verbs).map((verb) => verb.length));
  return [
    "Homing makes a disk image that turns a Raspberry Pi or a virtual machine into a chatmail relay.",
    "",
    "Usage: ./homing                     asks what it needs to know, step by step",
    "       ./homing COMMAND [OPTIONS]   does one thing, for scripts and for whoever knows which",
    "",
    ...Object.entries(verbs).map(([verb, { summary }]) => `  ${verb.padEnd(width)}  ${summary}`),
    "",
    "  ./homing help COMMAND   what a command does and which options it takes",
    "  ./homing --version      which version this is",
    "",
    "To begin:",
    "  ./homing",
    "",
  ].join("\n");
}

/** Runs one command line (without `node` and the file). Resolves to the exit code; writes only to `io`. */
export async function main(args: readonly string[], io: CommandIo): Promise<number> {
  const [first, ...rest] = args;
  if (first === undefined) return await wizard(io);
  if (
    first === "--help" ||
    first === "-h" ||
    (first === "help" && (rest[0] === undefined || rest[0] === "help" || wantsHelp(rest)))
  ) {
    io.stdout.write(overview());
    return 0;
  }
  if (first === "--version" || first === "-V") {
    io.stdout.write(`homing ${HOMING_VERSION}\n`);
    return 0;
  }
  const name = first === "help" ? (rest[0] ?? "") : first;
  const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
  if (!verb) {
    const what = name.startsWith("-") ? "option" : "command";
    const nearest = nearestName(name, what === "command" ? Object.keys(verbs) : ["--help", "--version"]);
    io.stderr.write(
      `homing: there is no ${what} “${name}”.${nearest ? ` Did you mean “${nearest}”?` : ""}\n` +
        `The commands are ${Object.keys(verbs).join(", ")}; ./homing --help tells more.\n`,
    );
    return EXIT_USAGE;
  }
  if (!hasCurrentFolder()) return sayFolderIsGone(io);
  const { command } = await verb.load();
  if (first === "help" || wantsHelp(rest)) {
    io.stdout.write(`Usage: ./homing ${command.usage}\n\n${command.help.trim()}\n`);
    return 0;
  }
  try {
    return await command.run(rest, io);
  } catch (error) {
    if (wantsJson(rest, command)) await tellError(error, command, io);
    return explain(error, command, io);
  }
}

/** What `./homing` alone does: it needs a terminal to ask and to be answered in. `world`: for tests. */
export async function wizard(io: CommandIo, world: Partial<World> = {}): Promise<number> {
  const { stdin } = io;
  if (stdin?.isTTY !== true || io.stdout.isTTY !== true) {
    io.stderr.write(
      "homing: without arguments it asks questions, which needs a terminal. For scripts there are the commands:\n" +
        "  ./homing init chat.example.org\n" +
        "  ./homing build chat.example.org --target vm\n" +
        `All of them are ${Object.keys(verbs).join(", ")}; ./homing --help tells more.\n`,
    );
    return EXIT_USAGE;
  }
  if (!hasCurrentFolder()) return sayFolderIsGone(io);
  const [{ startWizard }, { realEffects }] = await Promise.all([
    import("./wizard/start.ts"),
    import("./wizard/real-effects.ts"),
  ]);
  try {
    const effects = realEffects({ env: io.env, directory: process.cwd(), ...world });
    return await startWizard({ ...io, stdin }, effects);
  } catch (error) {
    return explain(error, { name: "the wizard", usage: "" }, io);
  }
}

/** Also when the arguments are wrong, which no command has looked at then. */
function wantsJson(args: readonly string[], command: Command): boolean {
  return command.usage.includes("--json") && hasFlag(args, "--json");
}

/** The last line for scripts, on standard output; the text for people and the exit code are explain's. */
async function tellError(error: unknown, command: Command, io: CommandIo): Promise<void> {
  const { name, message } = io.signal.aborted
    ? { name: "Stopped", message: `${command.name} was stopped` }
    : error instanceof Error
      ? error
      : { name: "Error", message: String(error) };
  // An output that is closed is told at the end of the process.
  await print(io.stdout, `${JSON.stringify({ event: "error", name, message })}\n`).catch(() => {});
}

function wantsHelp(args: readonly string[]): boolean {
  return hasFlag(args, "--help") || hasFlag(args, "-h");
}

function sayFolderIsGone(io: CommandIo): number {
  io.stderr.write("homing: the current folder was removed; change to another one and start again.\n");
  return EXIT_FAILED;
}

/** One that was removed under a shell has no path any more, and much of Node fails without. */
function hasCurrentFolder(): boolean {
  try {
    process.cwd();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** What comes behind "--" is no option. */
function hasFlag(args: readonly string[], flag: string): boolean {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).includes(flag);
}

/** Prints why a command failed and says which exit code that is. */
export function explain(error: unknown, command: Pick<Command, "name" | "usage">, io: CommandIo): number {
  if (io.signal.aborted) {
    io.stderr.write(`homing: ${command.name} was stopped.\n`);
    return stops[io.signal.reason as keyof typeof stops] ?? stops.SIGINT;
  }
  if (error instanceof UsageError) {
    io.stderr.write(`homing: ${error.message}\nUsage: ./homing ${command.usage}\n`);
    return EXIT_USAGE;
  }
  const words = errorWords(error);
  if (words !== undefined) {
    io.stderr.write(`homing: ${words}\n`);
    return EXIT_FAILED;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  io.stderr.write(`homing: ${command.name} failed in a way nobody foresaw; please report this:\n${stack}\n`);
  return EXIT_FAILED;
}

/**
 * The process's own streams and signals. The second Ctrl-C, and any other signal that comes later, ends the process
 * without waiting for clean-up.
 */
function processIo(): CommandIo {
  const abort = new AbortController();
  let stoppedAt = 0;
  for (const name of Object.keys(stops) as (keyof typeof stops)[]) {
    process.on(name, () => {
      if (!abort.signal.aborted) {
        stoppedAt = performance.now();
        abort.abort(name);
        return;
      }
      // Ctrl-C is never handed on: two of them are a person who does not want to wait.
      if (name === "SIGINT" || performance.now() - stoppedAt > SAME_WORD_MILLISECONDS)
        process.exit(stops[name]);
    });
  }
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    signal: abort.signal,
  };
}

/** Has `work` done with the process's own streams and signals, and ends the process with the exit code it gives. */
export async function runProcess(work: (io: CommandIo) => Promise<number>): Promise<void> {
  let unwritten: NodeJS.ErrnoException | undefined;
  process.stdout.on("error", (error) => {
    unwritten ??= error;
  });
  process.stderr.on("error", () => {}); // there is nowhere left to say it
  const io = processIo();
  const code = await work(io);
  // An error of an earlier write is told by now; what hides behind a slow pipe is waited for.
  await print(process.stdout, "").catch((error) => {
    unwritten ??= error;
  });
  // A reader that has seen enough closes the pipe (`| head`): that needs no words.
  if (unwritten && code === 0 && unwritten.code !== "EPIPE") {
    const reason = unwritten.errno === undefined ? unwritten.message : getSystemErrorMessage(unwritten.errno);
    await print(process.stderr, `homing: the output cannot be written: ${reason} (${unwritten.code})\n`);
  }
  process.exitCode = unwritten && code === 0 ? EXIT_FAILED : code;
  // What was stopped may have threads and programs at work, whose results nobody awaits any more.
  // In the wizard Ctrl-C is a key and no signal.
  if (io.signal.aborted || code === stops.SIGINT) process.exit();
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  await runProcess((io) => main(process.argv.slice(2), io));
