/** The whole milter service in a folder of its own, for `a.test`. Used by the tests of the service and by miltertest's. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { createLog } from "../../../services/lib/log.ts";
import { startMilterService } from "../../../services/milter/service.ts";
import { makeSigningKey } from "../../support/mail.ts";

export type RunningService = AsyncDisposable &
  Readonly<{
    folder: string;
    /** The unix socket it listens at. */
    path: string;
    /** Its log, a line each. */
    log: readonly string[];
    /** Ends it as a signal does. */
    stop(): Promise<void>;
  }>;

export async function startService(): Promise<RunningService> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "homing-milter-"));
  cleanup.defer(() => rm(folder, { recursive: true }));
  const path = join(folder, "socket");
  const log: string[] = [];
  await writeFile(join(folder, "dkim.pem"), makeSigningKey("a.test", "homing1").privateKeyPem);
  const settings = parseRelayConfig('domain = "a.test"\n', "relay.toml");
  await writeFile(join(folder, "settings.json"), JSON.stringify(settings));
  const steps = await startMilterService({
    settingsPath: join(folder, "settings.json"),
    dkimKeyPath: join(folder, "dkim.pem"),
    nextDkimKeyPath: join(folder, "next.pem"),
    dkimStatePath: join(folder, "dkim-state"),
    rateLimitPath: join(folder, "rate-limit"),
    listen: { name: "milter", path },
    log: createLog((line) => log.push(line), false),
  });
  let stopping: Promise<void> | undefined;
  const stop = () =>
    (stopping ??= (async () => {
      for (const { run } of steps) await run();
    })());
  cleanup.defer(stop);
  const kept = cleanup.move();
  return { folder, path, log, stop, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
