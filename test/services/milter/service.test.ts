/** The milter service as a whole: how many connections it serves, and how it ends. */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { createLog } from "../../../services/lib/log.ts";
import { MAX_CONNECTIONS, startMilterService } from "../../../services/milter/service.ts";
import { makeSigningKey } from "../../support/mail.ts";
import { waitFor } from "../../support/wait.ts";
import { connectMilter } from "./milter-client.ts";

const PATIENCE = 20_000;
const TOO_MANY = 50;

it("the milter service serves so many connections and no more, and lets go of all when it stops", async () => {
  const folder = await mkdtemp(join(tmpdir(), "homing-milter-"));
  const path = join(folder, "socket");
  const log: string[] = [];
  await writeFile(join(folder, "dkim.pem"), makeSigningKey("a.test", "homing1").privateKeyPem);
  const settings = parseRelayConfig('domain = "a.test"\n', "relay.toml");
  await writeFile(join(folder, "settings.json"), JSON.stringify(settings));
  const stop = await startMilterService({
    settingsPath: join(folder, "settings.json"),
    dkimKeyPath: join(folder, "dkim.pem"),
    nextDkimKeyPath: join(folder, "next.pem"),
    dkimStatePath: join(folder, "dkim-state"),
    rateLimitPath: join(folder, "rate-limit"),
    listen: { name: "milter", path },
    log: createLog((line) => log.push(line), false),
  });
  const sockets: Socket[] = [];
  try {
    let closed = 0;
    for (let index = 0; index < MAX_CONNECTIONS + TOO_MANY; index++) {
      const socket = connect(path);
      sockets.push(socket);
      socket.on("error", () => {}).once("close", () => closed++);
      socket.resume();
      await once(socket, "connect");
    }
    await waitFor("those beyond the limit are closed", PATIENCE, () => closed === TOO_MANY);
    expect(log.filter((line) => line.includes("too many milter connections"))).toHaveLength(1);
    for (const socket of sockets.splice(0, 10)) socket.destroy();
    // Whoever comes then is served; until the ten are gone, nobody is.
    const milter = await waitFor("a new connection is served", PATIENCE, () =>
      connectMilter(path).catch(() => false as const),
    );
    await milter.session("mx");
    await milter.quit();
    const all = sockets.map((socket) => (socket.closed ? undefined : once(socket, "close")));
    for (const { run } of stop) await run();
    await Promise.all(all);
  } finally {
    for (const socket of sockets) socket.destroy();
    await rm(folder, { recursive: true });
  }
});
