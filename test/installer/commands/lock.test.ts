/** `./homing lock` as a user runs it, where it must not change anything; the network is not asked. */
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, it } from "vitest";
import { lockFile } from "../../../image/packages/lock.ts";
import { runHoming } from "../../support/command-io.ts";
import { hasXz, publishSuite, startMirror, type TestMirror, testSigningKey } from "../../support/mirror.ts";

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
