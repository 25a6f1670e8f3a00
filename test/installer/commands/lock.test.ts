/** `./homing lock` as a user runs it, where it must not change anything; the network is not asked. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lockFile, readLock } from "../../../image/packages/lock.ts";
import type { PackageSelection } from "../../../image/packages/selection.ts";
import { renewLock } from "../../../installer/commands/lock.ts";
import { captureStream, runHoming } from "../../support/command-io.ts";
import {
  hasXz,
  packageStanza,
  publishSuite,
  startMirror,
  type TestMirror,
  testSigningKey,
} from "../../support/mirror.ts";
import { noSmallDisk, onSmallDisk } from "../../support/small-disk.ts";

let mirror: TestMirror;
beforeEach(async () => {
  mirror = await startMirror();
  process.env.DEBIAN_SECURITY_MIRROR = mirror.url;
});
afterEach(async () => {
  delete process.env.DEBIAN_SECURITY_MIRROR;
  await mirror.close();
});

it.skipIf(!hasXz)(
  "leaves the lock file as it is when the mirror is not Debian's (skipped without xz)",
  async () => {
    const before = readFileSync(lockFile);
    const { privateKey } = await testSigningKey();
    const now = Math.floor(Date.now() / 1000);
    for (const codename of ["trixie", "trixie-updates", "trixie-security", "trixie-backports"]) {
      await publishSuite(mirror, { codename, date: now, key: privateKey });
    }
    const { code, stdout, stderr } = await runHoming(["lock", "--mirror", mirror.url]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("is not signed by a pinned Debian archive key; choose another mirror");
    expect(readFileSync(lockFile).equals(before)).toBe(true);
  },
);

describe.skipIf(!hasXz)("a renewal (skipped without xz)", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "homing-lock-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const select = (): PackageSelection => ({
    packages: [{ name: "aa", reason: "test" }],
    leftOut: {},
    preferred: {},
  });
  const date = Math.floor(Date.now() / 1000);

  /** Renews the lock file in the folder from a mirror with these packages; gives what was printed. */
  async function renew(packages: string, json: boolean): Promise<string> {
    const { privateKey, publicKey } = await testSigningKey();
    for (const codename of ["trixie", "trixie-updates", "trixie-security", "trixie-backports"]) {
      const own: Record<string, string> =
        codename === "trixie" ? { "main/amd64": packages, "main/arm64": packages } : {};
      await publishSuite(mirror, { codename, date, key: privateKey, packages: own });
    }
    const stdout = captureStream();
    const io = { stdout, stderr: captureStream(), env: {}, signal: new AbortController().signal };
    const mirrors = { debian: mirror.url, security: mirror.url };
    await renewLock(io, { mirrors, keys: [publicKey], select, json, file: join(folder, "lock.json") });
    return stdout.text();
  }

  it("prints old and new versions, sizes and sums of both architectures", async () => {
    expect(await renew(packageStanza("aa"), false)).toBe(
      "amd64  aa  added: 1.0-1  +1.0 kB\narm64  aa  added: 1.0-1  +1.0 kB\n" +
        "amd64: 1 packages, 0.0 MB: 1 added\narm64: 1 packages, 0.0 MB: 1 added\n" +
        "The next ./homing build uses the new packages.\n",
    );
    const newer =
      packageStanza("aa", { Version: "1.0-2", Size: "1500", Depends: "bb" }) + packageStanza("bb");
    expect(await renew(newer, false)).toContain(
      "amd64  aa  1.0-1 → 1.0-2  +0.5 kB\namd64  bb  added: 1.0-1  +1.0 kB\narm64  aa",
    );
    expect(readLock(join(folder, "lock.json")).architectures.arm64).toHaveLength(2);
    expect(await renew(newer, false)).toMatch(/no change\nNo package changed\.\n$/);
  });

  it("says what to do when there is no room for the lock file, which stays as it was", async (test) => {
    const done = await onSmallDisk(64, async ({ path: disk }) => {
      const own = folder;
      folder = disk;
      try {
        await renew(packageStanza("aa"), false);
        const before = readFileSync(join(disk, "lock.json"));
        writeFileSync(join(disk, "fill"), Buffer.alloc(60 * 1024));
        await expect(renew(packageStanza("aa", { Version: "1.0-2" }), false)).rejects.toThrow(
          /lock\.json \(ENOSPC\): it needs 0\.1 MB, 0\.0 MB are free there\. Make room there, then run the same command again\.$/,
        );
        expect(readFileSync(join(disk, "lock.json")).equals(before)).toBe(true);
      } finally {
        folder = own;
      }
    });
    if (!done) test.skip(noSmallDisk);
  });

  it("is one JSON object a line for scripts", async () => {
    await renew(packageStanza("aa"), false);
    const text = await renew(packageStanza("aa", { Version: "1.0-2", Size: "900" }), true);
    const events = text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events).toMatchObject([
      {
        ...{ event: "change", kind: "renewed", architecture: "amd64", name: "aa" },
        ...{ before: { version: "1.0-1", size: 1000 }, after: { version: "1.0-2", size: 900 } },
      },
      { event: "change", architecture: "arm64" },
      {
        event: "total",
        architecture: "amd64",
        packages: 1,
        bytes: 900,
        bytesBefore: 1000,
        changes: { renewed: 1 },
      },
      { event: "total", architecture: "arm64" },
      { event: "done", file: join(folder, "lock.json"), changes: 2 },
    ]);
  });
});

it.skipIf(process.platform !== "linux")("asks no mirror where the list cannot be written", async () => {
  const mirrors = { debian: mirror.url, security: mirror.url };
  const io = {
    stdout: captureStream(),
    stderr: captureStream(),
    env: {},
    signal: new AbortController().signal,
  };
  await expect(renewLock(io, { mirrors, json: false, file: "/proc/lock.json" })).rejects.toThrow(
    /^the list of packages \/proc\/lock\.json cannot be written: .*ENOENT.* --refresh\.$/,
  );
  expect([mirror.requests, io.stderr.text()]).toEqual([[], ""]);
});

it("explains a wrong call", async () => {
  expect(await runHoming(["lock", "now"])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("unexpected argument “now”"),
  });
  expect(await runHoming(["lock", "--mirror", "ftp://x"])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("a mirror is an http or https URL"),
  });
});
