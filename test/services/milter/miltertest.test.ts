/** The milter service driven by Debian's miltertest(8), a mail server's side that nobody here wrote (sessions.lua). */
import { execFile, spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { encryptedMail, plainMail } from "../../support/mail.ts";
import { startService } from "./running-service.ts";

const isMissing = spawnSync("miltertest", ["-V"]).error !== undefined;
const title = isMissing ? "miltertest (needs the Debian package miltertest)" : "miltertest";
const checks = 10;

describe.skipIf(isMissing)(title, () => {
  it("finds the service as it expects a milter to be", async () => {
    await using service = await startService();
    const { folder, path, log } = service;
    const envelope = { from: "alice1234@a.test", to: "bobby1234@b.test" };
    await writeFile(
      join(folder, "encrypted.eml"),
      await encryptedMail({ ...envelope, headers: ["User-Agent: Secret 1.0"] }),
    );
    await writeFile(join(folder, "plain.eml"), plainMail(envelope));
    const { stdout } = await promisify(execFile)("miltertest", [
      ...["-D", `socket=unix:${path}`, "-D", `folder=${folder}`],
      ...["-s", join(import.meta.dirname, "sessions.lua")],
    ]).catch((error: { stdout: string; stderr: string }) => {
      throw new Error(`${error.stdout}${error.stderr}${log.join("")}`);
    });
    expect(stdout.trim().split("\n")).toHaveLength(checks);
  });
});
