/** The milter service driven by Debian's miltertest(8), a mail server's side that nobody here wrote (sessions.lua). */
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { createLog } from "../../../services/lib/log.ts";
import { startMilterService } from "../../../services/milter/service.ts";
import { encryptedMail, makeSigningKey, plainMail } from "../../support/mail.ts";

const isMissing = spawnSync("miltertest", ["-V"]).error !== undefined;
const title = isMissing ? "miltertest (needs the Debian package miltertest)" : "miltertest";
const checks = 10;

describe.skipIf(isMissing)(title, () => {
  it("finds the service as it expects a milter to be", async () => {
    const folder = await mkdtemp(join(tmpdir(), "homing-miltertest-"));
    const log: string[] = [];
    const envelope = { from: "alice1234@a.test", to: "bobby1234@b.test" };
    await writeFile(
      join(folder, "encrypted.eml"),
      await encryptedMail({ ...envelope, headers: ["User-Agent: Secret 1.0"] }),
    );
    await writeFile(join(folder, "plain.eml"), plainMail(envelope));
    await writeFile(join(folder, "dkim.pem"), makeSigningKey("a.test", "homing1").privateKeyPem);
    const settings = parseRelayConfig('domain = "a.test"\n', "relay.toml");
    await writeFile(join(folder, "settings.json"), JSON.stringify(settings));
    const stop = await startMilterService({
      settingsPath: join(folder, "settings.json"),
      dkimKeyPath: join(folder, "dkim.pem"),
      nextDkimKeyPath: join(folder, "next.pem"),
      dkimStatePath: join(folder, "dkim-state"),
      rateLimitPath: join(folder, "rate-limit"),
      listen: { name: "milter", path: join(folder, "socket") },
      log: createLog((line) => log.push(line), false),
    });
    try {
      const { stdout } = await promisify(execFile)("miltertest", [
        ...["-D", `socket=unix:${join(folder, "socket")}`, "-D", `folder=${folder}`],
        ...["-s", join(import.meta.dirname, "sessions.lua")],
      ]).catch((error: { stdout: string; stderr: string }) => {
        throw new Error(`${error.stdout}${error.stderr}${log.join("")}`);
      });
      expect(stdout.trim().split("\n")).toHaveLength(checks);
    } finally {
      for (const { run } of stop) await run();
      await rm(folder, { recursive: true });
    }
  });
});
