/**
 * The doors of the web service with limits that a test can wait for, and routes that show what strangers reach. Used by
 * the hostile-*.test.ts beside it.
 */
import { once } from "node:events";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, expect } from "vitest";
import { readWholeBody, textAnswer } from "../../../services/web/exchange.ts";
import type { WebLimits } from "../../../services/web/limits.ts";
import type { Routes } from "../../../services/web/router.ts";
import { waitFor } from "../../support/wait.ts";
import { fields } from "./http2-frames.ts";
import { type RunningFront, readToEnd, runFront } from "./running-front.ts";

/** Larger than what the kernel and both ends hold for a reader who does not read. */
const large = Buffer.alloc(8_000_000, "x");
/** Longer than any limit below. */
const handlerMs = 2_000;

/** What handlers saw: calls of /quick; bodies that are waited for, now and at most. */
export const seen = { calls: 0, bodies: 0, mostBodies: 0 };

const routes: Routes = {
  "/quick": {
    GET: () => {
      seen.calls += 1;
      return textAnswer(200, "quick");
    },
  },
  "/slow": {
    GET: async () => {
      await delay(handlerMs);
      return textAnswer(200, "slow");
    },
  },
  "/thinks": {
    POST: async ({ body }) => {
      for await (const _piece of body) await delay(handlerMs);
      return textAnswer(200, "thought");
    },
    maxBodyBytes: 10_000,
  },
  "/large": { GET: () => ({ status: 200, body: large }) },
  "/body": {
    POST: async (request) => {
      seen.bodies += 1;
      seen.mostBodies = Math.max(seen.mostBodies, seen.bodies);
      try {
        return textAnswer(200, String((await readWholeBody(request)).length));
      } finally {
        seen.bodies -= 1;
      }
    },
    maxBodyBytes: 10_000,
  },
};

/** The shape of the real limits, in a time in which a test can wait for them. */
export const quick: Partial<WebLimits> = {
  proxyHeaderMs: 300,
  handshakeMs: 300,
  headerMs: 300,
  idleMs: 300,
  answerMs: 500,
  goodbyeMs: 300,
  bodyGraceMs: 300,
  checkMs: 50,
};
/** Closed within this time, a limit counts as kept. The machine may be busy. */
export const patience = 15_000;

/** A POST whose body is still to come. */
export const postFields = fields([
  [":method", "POST"],
  [":scheme", "https"],
  [":authority", "_a.test"],
  [":path", "/body"],
]);

let running: RunningFront | undefined;

/** Opens the doors for one test; `endAfterEach` closes them. */
export async function start(limits: Partial<WebLimits> = quick): Promise<RunningFront> {
  Object.assign(seen, { calls: 0, bodies: 0, mostBodies: 0 });
  running = await runFront({ relay: routes, everywhere: { "/plain": routes["/quick"]! } }, limits);
  return running;
}

/** What `start` opened last. */
export function current(): RunningFront {
  return running!;
}

/** To be called once in each file: whatever happened, nothing of it is an error of the service, and it still serves. */
export function endAfterEach(): void {
  afterEach(async () => {
    const socket = await running!.secure();
    socket.end("GET /quick HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\n\r\n");
    expect(await readToEnd(socket)).toMatch(/^HTTP\/1.1 200 OK/);
    expect(running!.log).toEqual([]);
    await running?.[Symbol.asyncDispose]();
  });
}

/** All that comes until the connection is closed by the other side, in time. */
export async function untilClosed(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (piece: Buffer) => {
    text += piece.toString("latin1");
  });
  await waitFor("the connection is closed", patience, async () => socket.closed);
  return text;
}

/** Writes a piece again and again until the other side closes; how many were written. */
export async function writeUntilClosed(
  socket: Socket,
  piece: Buffer | string,
  most: number,
): Promise<number> {
  let count = 0;
  for (; count < most && !socket.closed && socket.writable; count += 1) {
    if (socket.write(piece)) await new Promise((resolve) => setImmediate(resolve));
    else await Promise.race([once(socket, "drain"), once(socket, "close")]).catch(() => {});
  }
  return count;
}

/** How many there are at the door of TLS. */
export function connectionsOf({ front }: RunningFront): Promise<number> {
  return new Promise((resolve) => front.tls.getConnections((_error, count) => resolve(count)));
}
