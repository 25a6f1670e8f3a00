/**
 * What a newcomer waits for: the wizard's first screen, and the whole way from `./homing` to an image:
 * `node installer/launch.mjs --script test/bench/wizard.ts [--runs 5] [--no-image]`. The first screen is that of
 * `./homing` with its launcher, in a pseudo-terminal of script(1), under time(1); `./homing --version` beside it is what the
 * launcher alone takes. The whole way is one run in tmux(1) at 80×24, with name servers and a provider on this computer
 * and whatever ~/.cache/homing holds; no time is counted for thinking. Needs tmux, knot, unbound, time.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { answer, publishAtDesec, untilAddress } from "../support/newcomer.ts";
import { startTerminal } from "../support/terminal.ts";
import { startWizardWorld } from "../support/wizard-world.ts";
import { median } from "./tables.ts";

const launcher = join(import.meta.dirname, "..", "..", "installer", "launch.mjs");
const INTERRUPT = "\u0003";
const BUILD_TIMEOUT = 900_000;

const { values } = parseArgs({
  options: { runs: { type: "string", default: "5" }, "no-image": { type: "boolean", default: false } },
});

type Start = Readonly<{ milliseconds: number; cpuMilliseconds: number }>;

/** Until the text is on the terminal; then the program is stopped, whose CPU time is that of all its processes. */
async function start(folder: string, words: readonly string[], text: string): Promise<Start> {
  const figures = join(folder, "time.txt");
  // The shell of script(1) may have a word “time” of its own.
  const line = ["env", "time", "-f", "'%U %S'", "-o", figures, process.execPath, launcher, ...words].join(
    " ",
  );
  const began = performance.now();
  const child = spawn("script", ["-qec", line, "/dev/null"], {
    cwd: folder,
    env: { ...process.env, TERM: "xterm-256color", LANG: "C.UTF-8" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  let shown = "";
  let milliseconds: number | undefined;
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    shown += chunk;
    if (milliseconds !== undefined || !shown.includes(text)) return;
    milliseconds = performance.now() - began;
    child.stdin.write(INTERRUPT);
  });
  await new Promise((resolve) => child.once("close", resolve));
  if (milliseconds === undefined) throw new Error(`${words.join(" ")} never showed “${text}”:\n${shown}`);
  const times = (await readFile(figures, "utf8")).trim().split("\n").at(-1)!.split(" ").map(Number);
  return { milliseconds, cpuMilliseconds: 1000 * times.reduce((sum, seconds) => sum + seconds, 0) };
}

async function newcomer(folder: string): Promise<Readonly<{ seconds: number; answers: number }>> {
  await using world = await startWizardWorld(folder, "rose.test");
  const began = performance.now();
  await using terminal = await startTerminal({ command: [process.execPath, ...world.words], cwd: folder });
  let answers = await answer(terminal, untilAddress("chat.rose.test"));
  answers += await publishAtDesec(terminal, world.token);
  await terminal.shows("All name servers show all records", BUILD_TIMEOUT);
  answers += await answer(terminal, [
    ["❯ Go on: make the image", "Enter"],
    ["❯ libvirt", "Enter"],
  ]);
  await terminal.shows("The image is made", BUILD_TIMEOUT);
  answers += await answer(terminal, [["❯ Finish", "Enter"]]);
  await terminal.shows("ended with 0");
  return { seconds: (performance.now() - began) / 1000, answers };
}

const folder = await mkdtemp(join(tmpdir(), "homing-wizard-bench-"));
try {
  console.log(`| | CPU, ms | time, ms | (load ${loadavg()[0]!.toFixed(1)})`);
  console.log("|---|---:|---:|");
  const compared = [
    ["first screen of `./homing`", [], "Begin"],
    ["`./homing --version`", ["--version"], "homing "],
  ] as const;
  for (const [name, words, text] of compared) {
    const runs: Start[] = [];
    for (let run = 0; run < Number(values.runs); run++) runs.push(await start(folder, words, text));
    const cpu = median(runs.map(({ cpuMilliseconds }) => cpuMilliseconds));
    const time = median(runs.map(({ milliseconds }) => milliseconds));
    console.log(`| ${name} | ${cpu.toFixed(0)} | ${time.toFixed(0)} |`);
  }
  if (!values["no-image"]) {
    const { seconds, answers } = await newcomer(folder);
    console.log(`\nFrom ./homing to an image: ${seconds.toFixed(0)} s of machine time, ${answers} answers.`);
  }
} finally {
  await rm(folder, { recursive: true });
}
