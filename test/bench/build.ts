/**
 * What an image costs to build, and how large it gets, beside mmdebstrap and mksquashfs with the same Debian packages:
 * `node installer/launch.mjs --script test/bench/build.ts [vm|pi|rival] [--runs 3] [--no-rival]`. Downloads are not part of
 * the figures: they are fetched first. Each build is a `./homing build --json` of its own, under time(1),
 * which adds up the processor time of all its threads and programs and tells the memory of the largest.
 * The rival needs root, mmdebstrap, squashfs-tools and this computer's architecture. It makes a root file system alone:
 * no kernel index, no boot partition, no services of ours; what it leaves out of the packages, dpkg leaves out.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { readLock } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import type { TargetName } from "../../image/targets/target.ts";
import { createRelayFolder } from "../../installer/relay-folder.ts";
import { median } from "./tables.ts";

const project = join(import.meta.dirname, "..", "..");
const architectures = { vm: "amd64", pi: "arm64" } as const;

type Cost = Readonly<{ seconds: number; cpuSeconds: number; peakBytes: number }>;
type Build = Cost & Readonly<{ stages: ReadonlyMap<string, number>; done: Done }>;
/** The last event of `./homing build --json`, as far as it is read here. */
type Done = Readonly<{
  bytes: number;
  rootfs: { bytes: number; reused: boolean };
}>;

/** Runs a command under time(1); `onLine` gets its standard output. Throws when it fails, with what it said. */
async function measure(
  work: string,
  command: readonly string[],
  onLine: (line: string) => void = () => {},
  env: NodeJS.ProcessEnv = process.env,
): Promise<Cost> {
  const figures = join(work, "time.txt");
  const child = spawn("time", ["-f", "%e %U %S %M", "-o", figures, ...command], {
    stdio: ["ignore", "pipe", "pipe"],
    env,
  });
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaint += text;
  });
  createInterface(child.stdout).on("line", onLine);
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${command[0]} ended with code ${code}:\n${complaint}`);
  const [seconds, user, system, kibibytes] = (await readFile(figures, "utf8")).trim().split(" ").map(Number);
  return { seconds: seconds!, cpuSeconds: user! + system!, peakBytes: kibibytes! * 1024 };
}

async function build(
  work: string,
  target: TargetName,
  cache: string,
  { compress = false } = {},
): Promise<Build> {
  const stages = new Map<string, number>();
  let stage: string | undefined;
  let since = performance.now();
  let done: Done | undefined;
  const out = join(work, `${target}.img`);
  const command = [
    ...[process.execPath, join(project, "installer", "launch.mjs"), "build", join(work, "relay"), "--json"],
    ...["--target", target, "--cache", cache, "--out", ...(compress ? [`${out}.zst`, "--compress"] : [out])],
  ];
  const cost = await measure(work, command, (line) => {
    const event = JSON.parse(line) as { event: string; stage?: string };
    if (event.stage === stage && event.event === "progress") return;
    const now = performance.now();
    if (stage !== undefined) stages.set(stage, (stages.get(stage) ?? 0) + (now - since) / 1000);
    [stage, since] = [event.stage, now];
    if (event.event === "done") done = event as unknown as Done;
  });
  if (!done) throw new Error("the build told no result");
  return { ...cost, stages, done };
}

/** The cache of this user, but for the root file systems: none is there. */
async function emptyCache(work: string): Promise<string> {
  const cache = join(work, "cache");
  await rm(cache, { recursive: true, force: true });
  await mkdir(cache);
  for (const part of ["packages", "node"]) {
    const there = join(defaultCacheDirectory(process.env), part);
    await mkdir(there, { recursive: true });
    await symlink(there, join(cache, part));
  }
  return cache;
}

async function changeSettings(work: string, run: number): Promise<void> {
  const file = join(work, "relay", "relay.toml");
  await writeFile(file, `${await readFile(file, "utf8")}# run ${run}\n`);
}

type Row = Readonly<{ what: string; costs: readonly Cost[]; sizes?: string }>;

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

async function measureTarget(work: string, target: TargetName, runs: number): Promise<Row[]> {
  await build(work, target, await emptyCache(work)); // fetches what is missing, warms the disk's cache
  const costs = {
    whole: [] as Build[],
    same: [] as Build[],
    settings: [] as Build[],
    compressed: [] as Build[],
  };
  for (let run = 0; run < runs; run++) {
    const cache = await emptyCache(work);
    costs.whole.push(await build(work, target, cache));
    costs.same.push(await build(work, target, cache));
    await changeSettings(work, run);
    costs.settings.push(await build(work, target, cache));
    costs.compressed.push(await build(work, target, cache, { compress: true }));
  }
  if (
    costs.whole.some(({ done }) => done.rootfs.reused) ||
    costs.same.some(({ done }) => !done.rootfs.reused)
  )
    throw new Error("the cache of root file systems did not behave as expected");
  console.log(`\n### Stages of ${target}, seconds\n\n| stage | all new | nothing changed |\n|---|---:|---:|`);
  const stageSeconds = (builds: readonly Build[], stage: string) =>
    median(builds.map(({ stages }) => stages.get(stage) ?? 0)).toFixed(1);
  for (const stage of costs.whole[0]!.stages.keys())
    console.log(`| ${stage} | ${stageSeconds(costs.whole, stage)} | ${stageSeconds(costs.same, stage)} |`);
  const { bytes, rootfs } = costs.whole[0]!.done;
  const compressed = megabytes(costs.compressed[0]!.done.bytes);
  return [
    {
      what: `Homing, ${target}, packages in the cache`,
      costs: costs.whole,
      sizes: `root file system ${megabytes(rootfs.bytes)}, image ${megabytes(bytes)}`,
    },
    { what: `Homing, ${target}, nothing changed`, costs: costs.same },
    { what: `Homing, ${target}, only relay.toml changed`, costs: costs.settings },
    { what: `Homing, ${target}, nothing changed, compressed`, costs: costs.compressed, sizes: compressed },
  ];
}

/** What Debian's own way leaves out as ours does: pages for people and translations. */
const EXCLUDED = ["/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/doc/*"];

/**
 * mmdebstrap(1) with the packages of the root file system, taken from a folder as its manual shows ("sync-in"), then
 * mksquashfs with the same block size and level as ours. The first run fills the folder.
 */
async function measureRival(work: string, target: TargetName, runs: number): Promise<Row[]> {
  const architecture = architectures[target];
  const names = readLock().architectures[architecture].flatMap(({ name, use }) =>
    use === "rootfs" ? [name] : [],
  );
  const mirrors = await chooseMirrors({ env: process.env });
  const keys = join(work, "keys");
  await cp(join(project, "image", "packages", "keys"), keys, { recursive: true });
  const debs = join(work, "debs");
  await mkdir(debs, { recursive: true });
  const root = join(work, "root");
  const squashfs = join(work, "rival.squashfs");
  const suite = (url: string, name: string) => `deb ${url} ${name} main non-free-firmware`;
  const bootstrap = [
    ...[
      "mmdebstrap",
      "--mode=root",
      `--architectures=${architecture}`,
      "--variant=essential", // dpkg and what it needs: ours do without
      `--keyring=${keys}`,
    ],
    ...[`--include=${names.join(",")}`, "--skip=download/empty,essential/unlink,cleanup/apt"],
    `--setup-hook=mkdir -p "$1/var/cache/apt/archives" && cp -l ${debs}/*.deb "$1/var/cache/apt/archives/" || true`,
    `--customize-hook=cp -ln "$1"/var/cache/apt/archives/*.deb ${debs}/ && rm -f "$1"/var/cache/apt/archives/*.deb`,
    ...EXCLUDED.map((path) => `--dpkgopt=path-exclude=${path}`),
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    ...["trixie", root, suite(mirrors.debian, "trixie"), suite(mirrors.debian, "trixie-updates")],
    ...[suite(mirrors.security, "trixie-security"), suite(mirrors.debian, "trixie-backports")],
  ];
  const compress = ["mksquashfs", root, squashfs, "-comp", "zstd", "-Xcompression-level", "9", "-b", "256K"];
  const rows = { bootstrap: [] as Cost[], compress: [] as Cost[] };
  for (let run = 0; run <= runs; run++) {
    for (const path of [root, squashfs]) await rm(path, { recursive: true, force: true });
    const costs = [
      await measure(work, bootstrap),
      await measure(work, [...compress, "-no-progress"]),
    ] as const;
    if (run === 0) continue; // this one fetched
    rows.bootstrap.push(costs[0]);
    rows.compress.push(costs[1]);
  }
  const { size } = await stat(squashfs);
  return [
    { what: `mmdebstrap, ${architecture}, packages in a folder`, costs: rows.bootstrap },
    { what: "mksquashfs of that", costs: rows.compress, sizes: `root file system ${megabytes(size)}` },
  ];
}

function printRows(rows: readonly Row[]): void {
  console.log("\n| | CPU s | seconds | peak memory | sizes |\n|---|---:|---:|---:|---|");
  for (const { what, costs, sizes = "" } of rows) {
    const of = (figure: (cost: Cost) => number) => median(costs.map(figure));
    const figures = [of((cost) => cost.cpuSeconds).toFixed(1), of((cost) => cost.seconds).toFixed(1)];
    console.log(
      `| ${what} | ${figures.join(" | ")} | ${Math.round(of((cost) => cost.peakBytes) / 1e6)} MB | ${sizes} |`,
    );
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: "string", default: "3" }, "no-rival": { type: "boolean", default: false } },
});
const [wanted] = positionals;
const targets: readonly TargetName[] =
  wanted === "vm" || wanted === "pi" ? [wanted] : wanted === "rival" ? [] : ["vm", "pi"];
const runs = Number(values.runs);
const work = await mkdtemp(join(tmpdir(), "homing-bench-"));
try {
  await createRelayFolder(join(work, "relay"), "_bench.test");
  const load = loadavg()[0]!.toFixed(1);
  console.log(
    `${availableParallelism()} processors, load ${load} before, Node ${process.version}, medians of ${runs}`,
  );
  const rows: Row[] = [];
  for (const target of targets) rows.push(...(await measureTarget(work, target, runs)));
  // Another architecture's packages would be configured under emulation, which says nothing.
  if (!values["no-rival"] && wanted !== "pi" && process.arch === "x64")
    rows.push(...(await measureRival(work, "vm", runs)));
  printRows(rows);
} finally {
  await rm(work, { recursive: true, force: true });
}
