/** The script that decides whether services/certificates is started (appliance/files/certificates.ts). */
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { certificateDueScript } from "../../../appliance/files/certificates.ts";
import { certificateLookedPath, certificateNextPath } from "../../../appliance/layout.ts";

const DAY = 86_400;

describe.skipIf(process.platform === "win32")("the script certificate-due", () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "homing-due-"));
  });
  afterEach(() => rm(root, { recursive: true }));
  const put = async (path: string, content: string) => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  };
  const isDue = () => spawnSync("sh", ["-s", root], { input: certificateDueScript.content }).status === 0;

  it.each([
    ["a minute ago", -60, true],
    ["in ten minutes", 600, false],
    ["in nine days", 9 * DAY, false],
    ["in eleven days, so the clock was set back", 11 * DAY, true],
  ])("sees what is planned for %s", async (_what, seconds, due) => {
    await put(certificateLookedPath, "");
    await put(certificateNextPath, `${Math.floor(Date.now() / 1000) + seconds}\n`);
    expect(isDue()).toBe(due);
  });

  it.each(["", "\n", "soon\n", "-5\n"])("starts the service when the plan is %j", async (plan) => {
    await put(certificateLookedPath, "");
    expect(isDue()).toBe(true);
    await put(certificateNextPath, plan);
    expect(isDue()).toBe(true);
  });

  it("starts the service once after a boot, whatever is planned", async () => {
    await put(certificateNextPath, `${Math.floor(Date.now() / 1000) + DAY}\n`);
    expect(isDue()).toBe(true);
  });
});
