/**
 * Builds that are ended in the middle of their downloads, that share a cache, or whose cache is full or read-only: in
 * processes of their own, at a slow mirror.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fetchPackages, packagePath } from "../../../image/packages/download.ts";
import type { HttpClient } from "../../../image/packages/http-client.ts";
import type { LockedPackage } from "../../../image/packages/lock.ts";
import { sha256, startMirror, type TestMirror } from "../../support/mirror.ts";
import { noSmallDisk, onSmallDisk } from "../../support/small-disk.ts";
import { waitFor } from "../../support/wait.ts";

const program = join(import.meta.dirname, "../../support/fetch-packages.ts");
const PROCESS_TIMEOUT = 60_000;

let mirror: TestMirror;
let folder: string;
beforeEach(async () => {
  mirror = await startMirror();
  folder = mkdtempSync(join(tmpdir(), "homing-interrupted-"));
});
afterEach(async () => {
  await mirror.close();
  rmSync(folder, { recursive: true });
});

type Offered = LockedPackage & { content: Buffer };

/** Puts a package of so many bytes on the mirror, which sends it slowly. */
function offer(name: string, bytes: number, how: "slowly" | "at once" = "slowly"): Offered {
  const content = Buffer.alloc(bytes, `${name} and so on, `);
  const path = `pool/main/${name}_1_all.deb`;
  mirror.files.set(`/${path}`, content);
  if (how === "slowly") mirror.misbehave.set(`/${path}`, { how, times: Number.POSITIVE_INFINITY });
  return {
    ...{ name, version: "1", archive: "debian", path, size: bytes, sha256: sha256(content), use: "rootfs" },
    content,
  };
}

type Fetching = Readonly<{
  child: ChildProcess;
  ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
}>;

function startFetching(packages: readonly Offered[], cache: string): Fetching {
  const orders = { packages: packages.map(({ content: _, ...one }) => one), cache, mirror: mirror.url };
  const args = ["--disable-warning=ExperimentalWarning", program, JSON.stringify(orders)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (text) => {
    stdout += text;
  });
  child.stderr.on("data", (text) => {
    stderr += text;
  });
  const ended = new Promise<Awaited<Fetching["ended"]>>((resolve) => {
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}

/** Files of the cache that are whole; throws when one of a final name is not, or a part is no beginning. */
function checkCache(packages: readonly Offered[], cache: string): { whole: string[]; parts: string[] } {
  const whole: string[] = [];
  const parts: string[] = [];
  for (const name of readdirSync(join(cache, "packages"))) {
    const one = packages.find((candidate) => name.startsWith(basename(packagePath(cache, candidate))))!;
    const bytes = readFileSync(join(cache, "packages", name));
    if (name.endsWith(".part")) {
      parts.push(name);
      expect(bytes.equals(one.content.subarray(0, bytes.length)), name).toBe(true);
    } else {
      whole.push(name);
      expect(bytes.equals(one.content), name).toBe(true);
    }
  }
  return { whole, parts };
}

describe("downloads that are ended at any moment", () => {
  const ROUNDS = 22;

  it(`leave nothing but what the next build can use, ${ROUNDS} times by Ctrl-C or kill`, {
    timeout: 180_000,
  }, async () => {
    const packages = Array.from({ length: 8 }, (_, number) => offer(`p${number}`, 150_000 + number));
    const total = packages.reduce((sum, { size }) => sum + size, 0);
    const outcomes = { ended: 0, parts: 0, continued: 0 };
    let cache = "";
    for (let round = 0; round < ROUNDS; round++) {
      if (round % 4 === 0) cache = join(folder, `cache-${round}`);
      const end = mirror.sent() + Math.floor((Math.random() * total) / 2);
      const before = mirror.ranges.length;
      const { child, ended } = startFetching(packages, cache);
      await waitFor(
        "the download has come so far or is done",
        PROCESS_TIMEOUT,
        () => child.exitCode !== null || (mirror.ranges.length > before && mirror.sent() >= end),
      );
      child.kill(round % 2 === 0 ? "SIGINT" : "SIGKILL");
      if ((await ended).code !== 0) outcomes.ended++;
      const { parts } = checkCache(packages, cache);
      outcomes.parts += parts.length;
      outcomes.continued += mirror.ranges.slice(before).filter((range) => range !== "").length;
    }
    // If nothing had been cut off or continued, nothing would have been tested.
    expect(outcomes.ended).toBeGreaterThan(ROUNDS / 3);
    expect(outcomes.parts).toBeGreaterThan(ROUNDS / 2);
    expect(outcomes.continued).toBeGreaterThan(ROUNDS / 2);
    for (const name of readdirSync(folder)) {
      expect((await startFetching(packages, join(folder, name)).ended).code).toBe(0);
      expect(checkCache(packages, join(folder, name))).toMatchObject({
        parts: [],
        whole: { length: packages.length },
      });
    }
  });
});

it("two builds at once share a cache and the work", async () => {
  const packages = Array.from({ length: 24 }, (_, number) => offer(`p${number}`, 60_000 + number));
  const cache = join(folder, "cache");
  const both = [startFetching(packages, cache), startFetching(packages, cache)];
  for (const { ended } of both) expect(await ended).toMatchObject({ code: 0, stderr: "" });
  expect(checkCache(packages, cache)).toMatchObject({ parts: [], whole: { length: packages.length } });
  expect(mirror.requests.length).toBeLessThan(2 * packages.length);
});

it("memory does not hold what is downloaded", async () => {
  const memory = async (bytes: number) => {
    const { code, stdout, stderr } = await startFetching(
      [offer(`m${bytes}`, bytes, "at once")],
      join(folder, "cache"),
    ).ended;
    expect([code, stderr]).toEqual([0, ""]);
    return Number(stdout);
  };
  const little = await memory(1000);
  expect((await memory(200_000_000)) - little).toBeLessThan(100_000_000);
});

describe("a cache that cannot be written", () => {
  const never: HttpClient = () => Promise.reject(new Error("the network must not be asked"));
  const fetchAll = (packages: readonly LockedPackage[], cache: string, client?: HttpClient) =>
    fetchPackages(packages, {
      cache,
      lockTime: 1_700_000_000,
      mirrors: { debian: mirror.url, security: mirror.url },
      snapshot: mirror.url,
      ...(client ? { network: { client } } : {}),
    });

  it("is good enough when all is there, else says what is missing before it asks the network", async (test) => {
    const done = await onSmallDisk(1024, async ({ path, makeReadOnly }) => {
      const [one, two] = [offer("a", 10_000, "at once"), offer("b", 20_000, "at once")];
      await fetchAll([one], path);
      makeReadOnly();
      expect(await fetchAll([one], path, never)).toEqual(new Map([["a", packagePath(path, one)]]));
      await expect(fetchAll([one, two], path, never)).rejects.toThrow(
        `the cache ${path} cannot be written: read-only file system (EROFS), and 1 of 2 packages (0.0 MB) are ` +
          "missing in it. Make it writable, or give another folder with --cache.",
      );
    });
    if (!done) test.skip(noSmallDisk);
  });

  it("says how much room is needed when the disk is full, and gives back what it took", async (test) => {
    const done = await onSmallDisk(512, async ({ path }) => {
      const packages = [offer("a", 100_000, "at once"), offer("b", 2_000_000, "at once")];
      await expect(fetchAll(packages, path)).rejects.toThrow(
        /there is no room for .*\/packages \(ENOSPC\): it needs 2\.[01] MB, 0\.\d MB are free there\. Make room, .*--cache/,
      );
      expect(checkCache(packages, path).parts.filter((name) => name.includes("b_1_all"))).toEqual([]);
    });
    if (!done) test.skip(noSmallDisk);
  });
});
