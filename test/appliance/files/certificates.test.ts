/** The script that decides whether services/certificates is started (appliance/files/certificates.ts). */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { certificateDueScript, certificateLoadScript } from "../../../appliance/files/certificates.ts";
import {
  certificateLookedPath,
  certificateNextPath,
  runPaths,
  tlsCertificatePath,
} from "../../../appliance/layout.ts";

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

describe.skipIf(process.platform === "win32")("the script certificate-load", () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "homing-load-"));
    for (const path of [tlsCertificatePath, runPaths.certificateLoaded])
      await mkdir(dirname(join(root, path)), { recursive: true });
  });
  afterEach(() => rm(root, { recursive: true }));
  /** Runs it beside a systemctl that notes its call and does `more`. Returns the calls. */
  const load = async (more = "") => {
    await writeFile(join(root, "systemctl"), `#!/bin/sh\necho "$@" >>${root}/calls\n${more}\n`, {
      mode: 0o755,
    });
    const environment = { ...process.env, PATH: `${root}:${process.env.PATH}` };
    const { status, stderr } = spawnSync("sh", ["-s", root], {
      ...{ input: certificateLoadScript.content, env: environment, encoding: "utf8" },
    });
    const calls = await readFile(join(root, "calls"), "utf8").catch(() => "");
    await rm(join(root, "calls"), { force: true });
    return { status, stderr, calls: calls.split("\n").filter((line) => line !== "") };
  };
  const reload = "try-reload-or-restart dovecot.service postfix.service";

  it("reloads once for each certificate", async () => {
    await writeFile(join(root, tlsCertificatePath), "one");
    expect(await load()).toEqual({ status: 0, stderr: "", calls: [reload] });
    expect((await load()).calls).toEqual([]);
    await writeFile(join(root, tlsCertificatePath), "two");
    expect((await load()).calls).toEqual([reload]);
  });

  it("reloads again when another one came in the meantime", async () => {
    await writeFile(join(root, tlsCertificatePath), "one");
    expect((await load(`echo two >${root}${tlsCertificatePath}`)).calls).toEqual([reload, reload]);
  });

  it("tries again next time when that failed", async () => {
    await writeFile(join(root, tlsCertificatePath), "one");
    expect((await load("exit 1")).status).toBe(1);
    expect((await load()).calls).toEqual([reload]);
  });

  it("knows the one of the start, as configure.ts writes it", async () => {
    const hash = createHash("sha256").update("one").digest("hex");
    await writeFile(join(root, tlsCertificatePath), "one");
    await writeFile(join(root, runPaths.certificateLoaded), `${hash}  -\n`);
    expect((await load()).calls).toEqual([]);
  });
});
