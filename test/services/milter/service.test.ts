/** The milter service as a whole: how many connections it serves, and how it ends. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, it } from "vitest";
import { MAX_CONNECTIONS } from "../../../services/milter/service.ts";
import { waitFor } from "../../support/wait.ts";
import { connectMilter } from "./milter-client.ts";
import { startService } from "./running-service.ts";

const PATIENCE = 20_000;
const TOO_MANY = 50;

it("the milter service serves so many connections and no more, and lets go of all when it stops", async () => {
  await using service = await startService();
  const { path, log } = service;
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
    await service.stop();
    await Promise.all(all);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});
