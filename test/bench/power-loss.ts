/**
 * First boots whose power goes at random moments: `node installer/launch.mjs --script test/bench/power-loss.ts
 * [--rounds 30] [--seed 1]`. Each round cuts the first boot of a new disk anywhere from its first write to the end (told
 * by the emulator's CPU time, so that other work on the computer moves no moment), boots again and demands a relay that is ready, no relay folder and no key on the boot partition. Prints a line a round and,
 * at the end, a Markdown table; exit code 1 when a round failed. A run that was stopped goes on where it was: rounds
 * done stay in test/output/power-loss/SEED. A round takes two boots without acceleration, two minutes or so.
 */

import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { buildImage } from "../../image/build.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { readLock } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { createRelayFolder, readRelayFolder } from "../../installer/relay-folder.ts";
import { keysOutsideData, powerOn, relayOnFat } from "../support/cut-power.ts";

/** A card of 2 GB, the smallest. */
const DISK_BYTES = 2_000_000_000;
const DOMAIN = "_power.test";
const FIRST_LINE = /^homing: slot a/;
const READY = /^homing: ready/;
const FAILED = /^homing: (NOT |stopped)/;

type Round = Readonly<{
  /** Of the emulator's CPU time, from the first line of the initramfs on, in seconds. */
  cutAfter: number;
  lastLine: string;
  secondBoot: number;
  problems: readonly string[];
}>;
/** `wholeBoot`: in seconds as `cutAfter`. */
type State = { imageSha256: string; wholeBoot: number; rounds: Round[] };

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "30" }, seed: { type: "string", default: "1" } },
});
const rounds = Number(values.rounds);
const folder = join(import.meta.dirname, "..", "output", "power-loss", values.seed);
const stateFile = join(folder, "state.json");
const fresh = join(folder, "fresh.img");
const disk = join(folder, "disk.img");

/** xorshift32 (Marsaglia 2003), from 0 to 1: the same moments for the same seed. */
function randoms(seed: number): () => number {
  let state = (seed * 0x9e3779b9) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

async function relayFiles(): Promise<ReadonlyMap<string, Uint8Array>> {
  const path = join(folder, "relay");
  if (existsSync(path)) return (await readRelayFolder(path)).files;
  return (await createRelayFolder(path, DOMAIN)).files;
}

/** From the first line of the initramfs to that of a whole relay. */
async function bootToTheEnd(
  name: string,
): Promise<{ seconds: number; cpuSeconds: number; problems: string[] }> {
  await using machine = powerOn(disk, name);
  await machine.line(FIRST_LINE);
  const started = performance.now();
  const before = await machine.cpuSeconds();
  const end = await machine.line(new RegExp(`${READY.source}|${FAILED.source}`));
  return {
    seconds: (performance.now() - started) / 1000,
    cpuSeconds: (await machine.cpuSeconds()) - before,
    problems: READY.test(end) ? [] : [end],
  };
}

async function freshDisk(): Promise<void> {
  await copyFile(fresh, disk);
  await truncate(disk, DISK_BYTES);
}

async function runRound(
  number: number,
  cutAfter: number,
  relay: ReadonlyMap<string, Uint8Array>,
): Promise<Round> {
  await freshDisk();
  let lastLine: string;
  {
    await using machine = powerOn(disk, `power-loss-${number}-cut`);
    await machine.line(FIRST_LINE);
    const end = (await machine.cpuSeconds()) + cutAfter;
    await machine.poll("its moment", async () => (await machine.cpuSeconds()) >= end);
    await machine.cut();
    lastLine = machine.lines.at(-1) ?? "";
  }
  try {
    const { seconds, problems } = await bootToTheEnd(`power-loss-${number}-again`);
    const folderLeft = (await relayOnFat(disk)).map((path) => `on the boot partition: ${path}`);
    const keysLeft = (await keysOutsideData(disk, relay)).map((key) => `key: ${key}`);
    return { cutAfter, lastLine, secondBoot: seconds, problems: [...problems, ...folderLeft, ...keysLeft] };
  } catch (error) {
    return { cutAfter, lastLine, secondBoot: Number.NaN, problems: [String(error)] };
  }
}

await mkdir(folder, { recursive: true });
const relay = await relayFiles();
const image = await buildImage({
  target: "vm",
  spec: rootfsSpec(),
  relay,
  out: fresh,
  lock: readLock(),
  cache: defaultCacheDirectory(process.env),
  mirrors: await chooseMirrors({ env: process.env }),
});
let state: State | undefined = existsSync(stateFile)
  ? (JSON.parse(await readFile(stateFile, "utf8")) as State)
  : undefined;
if (state?.imageSha256 !== image.sha256) {
  // The moments are parts of a boot that nobody cuts.
  await freshDisk();
  const { cpuSeconds, problems } = await bootToTheEnd("power-loss-whole");
  if (problems.length > 0) throw new Error(`a boot without a cut fails already: ${problems.join("; ")}`);
  console.log(`a first boot takes ${cpuSeconds.toFixed(1)} s of CPU from its first write on`);
  state = { imageSha256: image.sha256, wholeBoot: cpuSeconds, rounds: [] };
}
const random = randoms(Number(values.seed));
for (let number = 0; number < rounds; number++) {
  const cutAfter = random() * state.wholeBoot;
  if (state.rounds[number] !== undefined) continue;
  const round = await runRound(number + 1, cutAfter, relay);
  state.rounds.push(round);
  await writeFile(stateFile, JSON.stringify(state, undefined, 2));
  const outcome =
    round.problems.length === 0 ? `ready after ${round.secondBoot.toFixed(1)} s` : round.problems.join("; ");
  console.log(
    `${number + 1}/${rounds}: cut after ${cutAfter.toFixed(1)} s of CPU (“${round.lastLine}”): ${outcome}`,
  );
}
await rm(disk, { force: true });
const failed = state.rounds.filter(({ problems }) => problems.length > 0);
const median = state.rounds.map(({ secondBoot }) => secondBoot).sort((a, b) => a - b)[
  state.rounds.length >> 1
]!;
console.log(
  "\n| cuts of the first boot | second boot complete, nothing left on the FAT | second boot, median |",
);
console.log("|---:|---:|---:|");
console.log(`| ${state.rounds.length} | ${state.rounds.length - failed.length} | ${median.toFixed(1)} s |`);
process.exitCode = failed.length === 0 ? 0 : 1;
