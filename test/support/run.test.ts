/** test/run.ts itself: what it makes of a machine that lacks a package and cannot install it. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { expect, it } from "vitest";

/** dpkg-query(1) that knows no package, and an apt-get(8) without network. */
const brokenPrograms = { "dpkg-query": "exit 1", "apt-get": "exit 100" };

it.skipIf(process.platform !== "linux").each([
  ["fails when every ring is demanded", "1", 1, "1 passed, 1 failed, 0 skipped"],
  ["says so and goes on otherwise", "0", 0, "1 passed, 0 failed, 0 skipped"],
])("without a package for some tests: %s", (_name, demanded, code, last) => {
  const folder = mkdtempSync(join(tmpdir(), "homing-run-"));
  try {
    for (const [name, line] of Object.entries(brokenPrograms)) {
      writeFileSync(join(folder, name), `#!/bin/sh\n${line}\n`);
      chmodSync(join(folder, name), 0o755);
    }
    const env = {
      ...process.env,
      PATH: `${folder}${delimiter}${process.env.PATH}`,
      HOMING_ALL_RINGS: demanded,
    };
    const args = ["test/run.ts", "unit", "test/image/packages/selection.test.ts"];
    const { status, stdout } = spawnSync(process.execPath, args, { env, encoding: "utf8" });
    expect(stdout).toContain("Some tests will be skipped");
    expect([status, stdout.trimEnd().split("\n").at(-1)]).toEqual([code, last]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
