/** That a run of the tests outlives an update of Debian: with a mirror that has dropped what the lock names. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { LockedPackage, PackageLock } from "../../image/packages/lock.ts";
import {
  hasXz,
  packageStanza,
  publishSuite,
  sha256,
  startMirror,
  type TestMirror,
  testSigningKey,
} from "./mirror.ts";
import { lockToBuildFrom } from "./test-lock.ts";

let mirror: TestMirror;
let cache: string;
beforeEach(async () => {
  mirror = await startMirror();
  cache = mkdtempSync(join(tmpdir(), "homing-test-lock-"));
});
afterEach(async () => {
  await mirror.close();
  rmSync(cache, { recursive: true });
});

const now = Math.floor(Date.now() / 1000);
const content = Buffer.from("pigeons");
const pigeon: LockedPackage = {
  ...{ name: "pigeon", version: "1.0-1", archive: "debian", path: "pool/main/p/pigeon_1.0-1_all.deb" },
  ...{ size: content.length, sha256: sha256(content), use: "rootfs" },
};
const lock: PackageLock = {
  generated: now - 1000,
  releases: [{ archive: "debian", suite: "trixie", date: now - 1000 }],
  architectures: { amd64: [pigeon], arm64: [pigeon] },
};

async function decide(snapshot = mirror.url) {
  const { privateKey, publicKey } = await testSigningKey();
  const packages = { "main/amd64": packageStanza("pigeon", { Version: "1.0-2" }) };
  for (const codename of ["trixie", "trixie-updates", "trixie-security", "trixie-backports"]) {
    const arm64 = { "main/arm64": packages["main/amd64"] };
    const own = codename === "trixie" ? { packages: { ...packages, ...arm64 } } : {};
    await publishSuite(mirror, { codename, date: now, key: privateKey, ...own });
  }
  return lockToBuildFrom(["amd64", "arm64"], {
    ...{ lock, cache, now, keys: [publicKey], snapshot },
    mirrors: { debian: mirror.url, security: mirror.url },
    select: () => ({ packages: [{ name: "pigeon", reason: "test" }], leftOut: {}, preferred: {} }),
    network: { wait: async () => {} },
  });
}

describe.skipIf(!hasXz)("the packages that tests build from (skipped without xz)", () => {
  it("are the locked ones as long as these can be had", async () => {
    mirror.files.set(`/${pigeon.path}`, content);
    expect(await decide()).toBeUndefined();
  });

  it("are today's when one of them is gone everywhere, which is said in one line", async () => {
    const renewed = await decide();
    expect(renewed?.lock.architectures.arm64).toMatchObject([{ name: "pigeon", version: "1.0-2" }]);
    expect(renewed?.reason).toBe(
      "Debian has moved on (the package pigeon 1.0-1 is gone): this run builds from today's packages; ./homing lock " +
        "renews the list.",
    );
  });

  it("are today's as well when the mirror has dropped one and the archive of old packages is out of order", async () => {
    expect((await decide("http://127.0.0.1:1"))?.reason).toContain(
      "(the package pigeon 1.0-1 cannot be had)",
    );
  });

  it("stay the locked ones when the mirror has trouble: that is no reason for others", async () => {
    mirror.misbehave.set(`/${pigeon.path}`, { how: { status: 503 }, times: 99 });
    expect(await decide()).toBeUndefined();
  });
});
