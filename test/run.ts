/**
 * The whole test suite: `npm test`, or `npm test -- RING [VITEST ARGUMENTS]` for one ring.
 * Prepares what each ring needs (Debian packages when root; it says which), runs the rings one after the
 * other and ends with the line "N passed, N failed, N skipped" over all of them. A ring that cannot run
 * here says why in one line and its tests count as skipped.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Architecture } from "../image/spec.ts";
import { installPrerequisites, type Prerequisites } from "./support/prerequisites.ts";
import { buildsFromToday, hostArchitecture, prepareTestLock } from "./support/test-lock.ts";

const project = join(import.meta.dirname, "..");
const vitest = join(project, "node_modules", "vitest", "vitest.mjs");

/** For unshare(1). */
const ownMountsAndProcesses = [
  ...["--mount", "--propagation", "private"],
  ...["--pid", "--fork", "--kill-child", "--mount-proc"],
];

type Ring = Readonly<{
  name: "unit" | "relay" | "boot";
  what: string;
  prerequisites: Prerequisites;
  /** Whose Debian packages it builds from. */
  builds?: readonly Architecture[];
  /** Command line put before Node's, when the tests have to run inside something. */
  wrapper?: readonly string[];
  /** In how many parts it runs side by side, each inside a wrapper of its own; one where it is not said. */
  parts?: number;
}>;

const rings: readonly Ring[] = [
  {
    name: "unit",
    what: "every module by itself",
    prerequisites: {
      needsRoot: false,
      required: false,
      packages: [
        "squashfs-tools",
        "dosfstools",
        "mtools",
        "fdisk",
        "gdisk",
        "cpio",
        "kmod",
        "xz-utils",
        "zstd",
        "python3-dkim",
        "miltertest",
        "opendkim",
        "ldnsutils",
        "nftables",
        "gpg",
        "syslinux",
        "syslinux-common",
        "device-tree-compiler",
        "pebble",
        "knot",
        "knot-dnssecutils",
        "unbound",
        "chromium",
        "zbar-tools",
        "qemu-utils",
        "wpasupplicant",
        // For promtool.
        "prometheus",
      ],
    },
  },
  {
    name: "relay",
    what: "two relays as containers, real Delta Chat cores as clients",
    prerequisites: {
      needsRoot: true,
      required: true,
      packages: [
        "systemd-container",
        "dnsmasq-base",
        "opendkim",
        "python3-dkim",
        "libfaketime",
        "pebble",
        "iproute2",
        "iputils-ping",
        "miniupnpd-nftables",
        "nftables",
        "util-linux",
        "mount",
        "prometheus",
      ],
      probe: {
        command: [
          ...["unshare", "--net", "--pid", "--fork", "--mount", "--propagation", "private", "--"],
          ...["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"],
        ],
        otherwise:
          "needs the right to make namespaces and mounts: run it on a machine, not in a plain container",
      },
    },
    builds: [hostArchitecture],
    // In namespaces of its own: nothing of the host is seen or touched by the test network.
    wrapper: [
      // However this program ends, the namespace ends with it.
      ...["setpriv", "--pdeathsig", "TERM", "--"],
      ...[process.execPath, "--disable-warning=ExperimentalWarning", "test/relay/run.ts"],
    ],
    // One file after the other, each with relays of its own, waits for half of its time.
    parts: 2,
  },
  {
    name: "boot",
    what: "the finished images in QEMU",
    builds: ["amd64", "arm64"],
    prerequisites: {
      needsRoot: false,
      required: true,
      packages: [
        ...["qemu-system-x86", "qemu-system-arm", "qemu-utils", "ovmf", "qemu-efi-aarch64", "e2fsprogs"],
        ...["squashfs-tools", "dosfstools", "mtools", "fdisk", "gdisk", "cpio", "kmod"],
        ...["tmux", "knot", "knot-dnssecutils", "unbound"],
      ],
    },
    // However a test ends, what it mounted and the machines it started end with it.
    wrapper: mayUnshare() ? ["unshare", ...ownMountsAndProcesses, "--"] : [],
  },
];

function mayUnshare(): boolean {
  return spawnSync("unshare", [...ownMountsAndProcesses, "true"]).status === 0;
}

/**
 * Set by .ci/run: whatever a ring lacks is a failure there, also when only some of its tests need it, or a broken apt
 * would let anything pass; and so is a skipped test, unless the packages it knows are no longer to be had.
 */
const allRingsDemanded = process.env.HOMING_ALL_RINGS === "1";

/** What no package mends: a kernel without this file system. The boot ring has one that mounts it. */
const lacksOfKernel = /\(needs root and a kernel with vfat\)$/;

type Counts = Readonly<{ passed: number; failed: number; skipped: number }>;

function sum(counts: readonly Counts[]): Counts {
  const total = (of: (one: Counts) => number) => counts.reduce((before, one) => before + of(one), 0);
  return {
    passed: total(({ passed }) => passed),
    failed: total(({ failed }) => failed),
    skipped: total(({ skipped }) => skipped),
  };
}

/** What vitest's JSON reporter writes, as far as it is read here. */
type VitestReport = {
  numPassedTests: number;
  numFailedTests: number;
  testResults: { status: string; assertionResults: { status: string; fullName: string }[] }[];
};

/** What a ring that was asked to end may still take, to clean up. */
const END_MILLISECONDS = 10_000;

/** Set when somebody asked for the end: the ring that runs cleans up, the next ones do not begin. */
let interrupted = false;

/** Runs a program with this terminal; resolves to its exit code (1 when a signal ended it). */
function run(command: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: project, stdio: "inherit" });
    // The terminal sends Ctrl-C to the program as well; the other signals come to us alone.
    const noteInterrupt = () => {
      interrupted = true;
    };
    const passOn = (signal: NodeJS.Signals) => {
      interrupted = true;
      child.kill(signal);
      // unshare(1) ignores SIGTERM while what it started runs.
      setTimeout(() => child.kill("SIGKILL"), END_MILLISECONDS).unref();
    };
    process.on("SIGINT", noteInterrupt).on("SIGTERM", passOn).on("SIGHUP", passOn);
    const settle = () => process.off("SIGINT", noteInterrupt).off("SIGTERM", passOn).off("SIGHUP", passOn);
    child.once("error", (error) => {
      settle();
      reject(error);
    });
    child.once("exit", (code) => {
      settle();
      resolve(code ?? 1);
    });
  });
}

/** Runs a ring; in one part when `extra` says which of its tests. */
async function runRing(ring: Ring, reports: string, extra: readonly string[]): Promise<Counts> {
  const parts = extra.length > 0 ? 1 : (ring.parts ?? 1);
  const shards = Array.from({ length: parts }, (_, index) => `${index + 1}/${parts}`);
  return sum(await Promise.all(shards.map((shard) => runPart(ring, { shard, reports, extra }))));
}

type Part = Readonly<{ shard: string; reports: string; extra: readonly string[] }>;

async function runPart(ring: Ring, { shard, reports, extra }: Part): Promise<Counts> {
  const report = join(reports, `${ring.name}-${shard.replace("/", "-of-")}.json`);
  const [command, ...args] = [
    ...(ring.wrapper ?? []),
    process.execPath,
    "--disable-warning=ExperimentalWarning",
    vitest,
    "run",
    "--project",
    ring.name,
    `--shard=${shard}`,
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    ...extra,
  ];
  const code = await run(command!, args);
  const result = await readReport(report);
  if (result === undefined) {
    console.error(`The ${ring.name} ring ended with code ${code} before it could report.`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  // A file that fails outside its tests (an import, a hook) has no failed test of its own: count the file.
  const brokenFiles = result.testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.length === 0,
  ).length;
  const skipped = result.testResults
    .flatMap((file) => file.assertionResults)
    .filter(({ status }) => status !== "passed" && status !== "failed");
  const mistakes =
    allRingsDemanded && !buildsFromToday()
      ? skipped.filter(({ fullName }) => !lacksOfKernel.test(fullName))
      : [];
  for (const { fullName } of mistakes) console.error(`Skipped, a failure here: ${fullName}`);
  const failed = result.numFailedTests + brokenFiles + mistakes.length;
  return {
    passed: result.numPassedTests,
    failed: failed === 0 && code !== 0 ? 1 : failed,
    skipped: skipped.length - mistakes.length,
  };
}

/** The report, or undefined when vitest ended without writing one. */
async function readReport(path: string): Promise<VitestReport | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as VitestReport;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** How many tests a ring that cannot run would have run. */
async function countTests(ring: Ring, reports: string): Promise<number> {
  const list = join(reports, `${ring.name}-list.json`);
  const code = await run(process.execPath, [vitest, "list", "--project", ring.name, `--json=${list}`]);
  if (code !== 0) throw new Error(`vitest could not list the tests of the ${ring.name} ring (code ${code})`);
  return (JSON.parse(await readFile(list, "utf8")) as unknown[]).length;
}

/** What it fails of is told again by what builds, if that needs the packages at all. */
async function fetchPackagesOf(architectures: readonly Architecture[]): Promise<void> {
  await prepareTestLock(architectures).catch((error: Error) => console.log(error.message));
}

async function main(args: readonly string[]): Promise<number> {
  const wanted = rings.filter((ring) => args[0] === ring.name);
  const chosen = wanted.length > 0 ? wanted : rings;
  const extra = wanted.length > 0 ? args.slice(1) : args;
  await mkdir(join(project, "test", "output"), { recursive: true });
  const reports = await mkdtemp(join(tmpdir(), "homing-test-"));
  const counts: Counts[] = [];
  try {
    // The first ring looks into the packages that are there.
    if (chosen === rings) await fetchPackagesOf(["amd64", "arm64"]);
    for (const ring of chosen) {
      if (interrupted) break;
      console.log(`\nRing "${ring.name}": ${ring.what}`);
      const missing = await installPrerequisites(ring.prerequisites);
      if (missing !== undefined && allRingsDemanded) counts.push({ passed: 0, failed: 1, skipped: 0 });
      if (missing !== undefined && ring.prerequisites.required) {
        const skipped = await countTests(ring, reports);
        console.log(`Ring "${ring.name}" skipped (${skipped} tests): ${missing}`);
        counts.push({ passed: 0, failed: 0, skipped });
        continue;
      }
      if (missing !== undefined) {
        const verdict = allRingsDemanded ? ", a failure here" : "";
        console.log(`Some tests will be skipped${verdict}: ${missing}`);
      }
      if (ring.builds) await fetchPackagesOf(ring.builds);
      counts.push(await runRing(ring, reports, extra));
    }
  } finally {
    await rm(reports, { recursive: true, force: true });
  }
  const { passed, failed, skipped } = sum(counts);
  console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0 && passed > 0 && !interrupted ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
