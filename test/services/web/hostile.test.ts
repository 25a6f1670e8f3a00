/** Strangers who want too much of the web service: time, memory, places. Each limit against the running doors. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { readWholeBody, textAnswer } from "../../../services/web/exchange.ts";
import type { WebLimits } from "../../../services/web/limits.ts";
import type { Routes } from "../../../services/web/router.ts";
import { waitFor } from "../../support/wait.ts";
import {
  fields,
  flags,
  frame,
  frameTypes,
  preface,
  readFrames,
  requestFields,
  settings,
} from "./http2-frames.ts";
import { proxyHeader, type RunningFront, readToEnd, runFront } from "./running-front.ts";

/** Larger than what the kernel and both ends hold for a reader who does not read. */
const large = Buffer.alloc(8_000_000, "x");

let calls = 0;
/** Bodies that are waited for, now and at most. */
let bodies = 0;
let mostBodies = 0;
const routes: Routes = {
  "/quick": {
    GET: () => {
      calls += 1;
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
      bodies += 1;
      mostBodies = Math.max(mostBodies, bodies);
      try {
        return textAnswer(200, String((await readWholeBody(request)).length));
      } finally {
        bodies -= 1;
      }
    },
    maxBodyBytes: 10_000,
  },
};

/** Longer than any limit below. */
const handlerMs = 2_000;

/** The shape of the real limits, in a time in which a test can wait for them. */
const quick: Partial<WebLimits> = {
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
const patience = 15_000;

/** A POST whose body is still to come. */
const postFields = fields([
  [":method", "POST"],
  [":scheme", "https"],
  [":authority", "_a.test"],
  [":path", "/body"],
]);

let running: RunningFront | undefined;
afterEach(async () => {
  // Whatever happened: nothing of it is an error of the service, and it still serves.
  const socket = await running!.secure();
  socket.end("GET /quick HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\n\r\n");
  expect(await readToEnd(socket)).toMatch(/^HTTP\/1.1 200 OK/);
  expect(running!.log).toEqual([]);
  await running?.[Symbol.asyncDispose]();
});

async function start(limits: Partial<WebLimits> = quick): Promise<RunningFront> {
  calls = 0;
  running = await runFront({ relay: routes, everywhere: { "/plain": routes["/quick"]! } }, limits);
  return running;
}

/** All that comes until the connection is closed by the other side, in time. */
async function untilClosed(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (piece: Buffer) => {
    text += piece.toString("latin1");
  });
  await waitFor("the connection is closed", patience, async () => socket.closed);
  return text;
}

/** Writes a piece again and again until the other side closes; how many were written. */
async function writeUntilClosed(socket: Socket, piece: Buffer | string, most: number): Promise<number> {
  let count = 0;
  for (; count < most && !socket.closed && socket.writable; count += 1) {
    if (socket.write(piece)) await new Promise((resolve) => setImmediate(resolve));
    else await Promise.race([once(socket, "drain"), once(socket, "close")]).catch(() => {});
  }
  return count;
}

describe("those who take their time", () => {
  it.each(["plain", "secure"] as const)("over a header, byte by byte, are sent away (%s)", async (door) => {
    const socket = await (await start())[door]();
    const timer = setInterval(() => socket.write("x"), 20);
    socket.write("GET /quick HTTP/1.1\r\nX-Slow: ");
    expect(await untilClosed(socket)).toMatch(/^HTTP\/1.1 408 /);
    clearInterval(timer);
  });

  it.each(["plain", "secure"] as const)("and say nothing at all are sent away (%s)", async (door) => {
    await untilClosed(await (await start())[door]());
  });

  it("before the PROXY header or in the TLS handshake are sent away", async () => {
    const { tlsPath } = await start();
    for (const begin of [
      Buffer.alloc(0),
      proxyHeader,
      Buffer.concat([proxyHeader, Buffer.from("160301", "hex")]),
    ]) {
      const socket = connect(tlsPath);
      socket.write(begin);
      expect(await untilClosed(socket)).toBe("");
    }
  });

  it("after an answer are sent away", async () => {
    const socket = await (await start()).secure();
    socket.write("GET /quick HTTP/1.1\r\nHost: _a.test\r\n\r\n");
    expect(await untilClosed(socket)).toMatch(/quick$/);
  });

  it("over a body are sent away", async () => {
    const socket = await (await start()).secure();
    socket.write("POST /body HTTP/1.1\r\nHost: _a.test\r\nContent-Length: 9000\r\n\r\n");
    const timer = setInterval(() => socket.write("x"), 50);
    await untilClosed(socket);
    clearInterval(timer);
  });

  it("over a body, but at the speed of a bad line, are served", async () => {
    const socket = await (await start()).secure();
    socket.write("POST /body HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\nContent-Length: 2000\r\n\r\n");
    let sent = 0;
    const timer = setInterval(() => {
      socket.write("x".repeat(100));
      sent += 100;
      if (sent === 2000) clearInterval(timer);
    }, 50);
    expect(await untilClosed(socket)).toMatch(/^HTTP\/1.1 200 .*\r\n\r\n2000$/s);
  });

  it("because the answer does, are waited for", async () => {
    const { secure } = await start();
    const [old, session] = [await secure(), await secure("h2")];
    old.write("GET /slow HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\n\r\n");
    const request = frame(frameTypes.headers, flags.endHeaders | flags.endStream, 1, requestFields("/slow"));
    session.write(Buffer.concat([preface, settings(), request]));
    const answers = await Promise.all([untilClosed(old), untilClosed(session)]);
    for (const answer of answers) expect(answer).toContain("slow");
  });

  it("because what they sent is being worked on, are waited for", async () => {
    const socket = await (await start()).secure();
    socket.write(
      "POST /thinks HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
    );
    expect(await untilClosed(socket)).toContain("thought");
  });

  it("over reading an answer are sent away", async () => {
    for (const protocol of ["http/1.1", "h2"] as const) {
      const socket = await (await start()).secure(protocol);
      socket.pause();
      if (protocol === "http/1.1") socket.write("GET /large HTTP/1.1\r\nHost: _a.test\r\n\r\n");
      else {
        const request = frame(
          frameTypes.headers,
          flags.endHeaders | flags.endStream,
          1,
          requestFields("/large"),
        );
        socket.write(Buffer.concat([preface, settings(), request]));
      }
      // Nothing is read here; the other side's end of the connection is what counts.
      await waitFor("the place is free again", patience, async () => (await connectionsOf(running!)) === 0);
      if (protocol === "http/1.1") await running![Symbol.asyncDispose]();
    }
  });
});

function connectionsOf({ front }: RunningFront): Promise<number> {
  return new Promise((resolve) => front.tls.getConnections((_error, count) => resolve(count)));
}

describe("those who send too much", () => {
  const ask = async (text: string): Promise<string> => {
    const socket = await (await start()).secure();
    socket.write(text);
    const answer = await untilClosed(socket);
    return answer.split("\r\n")[0] ?? "";
  };

  it("in one field, in many fields, in an address: are told so", async () => {
    const head = "GET /quick HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\n";
    expect(await ask(`${head}X: ${"x".repeat(70_000)}\r\n\r\n`)).toMatch(/ 431 /);
    await running![Symbol.asyncDispose]();
    expect(await ask(`${head}${"X: 1\r\n".repeat(1200)}\r\n`)).toMatch(/ 431 /);
    await running![Symbol.asyncDispose]();
    expect(await ask(`${head}${"X: 1\r\n".repeat(20_000)}\r\n`)).toMatch(/ 431 /);
    await running![Symbol.asyncDispose]();
    expect(await ask(head.replace("/quick", `/${"x".repeat(3000)}`).concat("\r\n"))).toMatch(/ 414 /);
  });

  it.each([
    ["announced", "Content-Length: 10001\r\n\r\n"],
    ["announced beyond all numbers", `Content-Length: ${"9".repeat(15)}\r\n\r\n`],
    [
      "in chunks",
      `Transfer-Encoding: chunked\r\n\r\n${"2710\r\n"}${"x".repeat(10_000)}\r\n2710\r\n${"x".repeat(10_000)}\r\n`,
    ],
    ["in chunks of one byte", `Transfer-Encoding: chunked\r\n\r\n${"1\r\nx\r\n".repeat(10_001)}`],
  ])("in a body, %s, are told so", async (_how, rest) => {
    expect(await ask(`POST /body HTTP/1.1\r\nHost: _a.test\r\n${rest}`)).toMatch(/ 413 /);
  });

  it("to a page that takes no body are told so", async () => {
    expect(await ask("GET /quick HTTP/1.1\r\nHost: _a.test\r\nContent-Length: 5\r\n\r\nhello")).toMatch(
      / 413 /,
    );
    expect(calls).toBe(0);
  });

  it("of requests in one connection are sent away", async () => {
    const { secure } = await start({ ...quick, requestsOfConnection: 20 });
    const socket = await secure();
    socket.write("GET /quick HTTP/1.1\r\nHost: _a.test\r\n\r\n".repeat(500));
    await untilClosed(socket);
    expect(calls).toBeLessThanOrEqual(20);
  });

  it("of connections that wait make room for others, the oldest first", async () => {
    const { secure, plain } = await start({ connections: 4 });
    const held = [await secure(), await secure("h2"), await plain(), await plain()];
    const socket = await secure();
    await waitFor("the oldest is closed", patience, async () => held[0]!.closed);
    expect(held.slice(1).map(({ closed }) => closed)).toEqual([false, false, false]);
    socket.end("GET /quick HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\n\r\n");
    expect(await readToEnd(socket)).toMatch(/^HTTP\/1.1 200/);
  });

  it("of connections with requests keep their places, until they are done", async () => {
    const { secure, plain } = await start({ connections: 2 });
    const [old, session] = [await secure(), await secure("h2")];
    old.write("POST /body HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\nContent-Length: 3\r\n\r\n");
    const open = frame(frameTypes.headers, flags.endHeaders, 1, postFields);
    session.resume().write(Buffer.concat([preface, settings(), open]));
    await waitFor("both requests", patience, async () => bodies === 2);
    expect(await untilClosed(await plain())).toBe("");
    old.write("abc");
    expect(await untilClosed(old)).toMatch(/\r\n\r\n3$/);
    session.destroy();
    await waitFor("no body is waited for", patience, async () => bodies === 0);
  });
});

describe("those who write what two servers read in two ways", () => {
  it.each([
    [
      "both lengths",
      "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["two lengths", "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"],
    ["a length with a sign", "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"],
    ["an unknown coding", "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n"],
    ["a space before the colon", "GET /quick HTTP/1.1\r\nHost : a\r\n\r\n"],
    ["a folded field", "GET /quick HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n"],
    ["bare line feeds", "GET /quick HTTP/1.1\nHost: a\n\n"],
    ["a zero byte", "GET /quick HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"],
    ["no host", "GET /quick HTTP/1.1\r\n\r\n"],
    ["two hosts", "GET /quick HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
    [
      "a chunk that is too long",
      "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    ],
    ["another protocol", "EHLO a\r\n"],
    ["HTTP/2 without having agreed on it", preface.toString("latin1")],
  ])("(%s) are refused", async (_what, text) => {
    const socket = await (await start()).secure();
    socket.write(text, "latin1");
    expect(await untilClosed(socket)).toMatch(/^HTTP\/1.1 400 /);
    expect(calls).toBe(0);
  });

  it.each([
    "/..%2f..%2f..%2fetc%2fpasswd",
    "/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/quick%00",
    "/quick/..",
    "/./quick",
    "//quick",
    "/%5cquick",
    "/%c0%ae%c0%ae/",
    "/%",
    "/%zz",
    "quick",
    "*",
    "http://",
    "ftp://_a.test/quick",
  ])("in an address (%s) reach nothing", async (target) => {
    const socket = await (await start()).secure();
    socket.write(`GET ${target} HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\n\r\n`);
    expect(await untilClosed(socket)).toMatch(/^HTTP\/1.1 40[04] /);
    expect(calls).toBe(0);
  });
});

describe("floods of HTTP/2", () => {
  /** A session begun by hand. */
  async function begin(limits: Partial<WebLimits> = quick, ...pairs: (readonly [number, number])[]) {
    const socket = await (await start(limits)).secure("h2");
    const received: Buffer[] = [];
    socket.on("data", (piece: Buffer) => received.push(piece));
    socket.write(Buffer.concat([preface, settings(...pairs)]));
    return { socket, frames: () => readFrames(Buffer.concat(received)) };
  }
  const request = (stream: number, path = "/quick") =>
    frame(frameTypes.headers, flags.endHeaders | flags.endStream, stream, requestFields(path));
  const reset = (stream: number) =>
    frame(frameTypes.rstStream, flags.none, stream, Buffer.from([0, 0, 0, 8]));

  it("of streams opened and reset at once end the session", async () => {
    const { socket, frames } = await begin();
    const most = 20_000;
    let stream = 1;
    for (; stream < 2 * most && !socket.closed && socket.writable; stream += 2) {
      socket.write(Buffer.concat([request(stream), reset(stream)]));
      if (stream % 100 === 1) await new Promise((resolve) => setImmediate(resolve));
    }
    await waitFor("the connection is closed", patience, async () => socket.closed);
    expect(frames().some(({ type }) => type === frameTypes.goaway)).toBe(true);
    expect(calls).toBeLessThan(2_000);
  });

  it("of continuations end the session", async () => {
    const { socket } = await begin();
    socket.write(frame(frameTypes.headers, flags.none, 1, requestFields("/quick")));
    const piece = frame(frameTypes.continuation, flags.none, 1, fields([["x", "x".repeat(1000)]]));
    expect(await writeUntilClosed(socket, piece, 10_000)).toBeLessThan(10_000);
    expect(calls).toBe(0);
  });

  it.each([
    ["settings", settings([3, 100])],
    ["pings", frame(frameTypes.ping, flags.none, 0, Buffer.alloc(8))],
  ])("of %s whose answers nobody reads end the session", async (_what, piece) => {
    const { socket } = await begin();
    socket.pause();
    const many = Buffer.concat(Array<Buffer>(1000).fill(piece));
    await writeUntilClosed(socket, many, 20_000);
    await waitFor("the place is free again", patience, async () => (await connectionsOf(running!)) === 0);
  });

  it("of settings in one frame end the session", async () => {
    const { socket } = await begin();
    socket.write(settings(...Array.from({ length: 1000 }, (_, i) => [100 + i, 1] as const)));
    await waitFor("the connection is closed", patience, async () => socket.closed);
  });

  it("of fields that unpack to more than they are (HPACK) reach no handler", async () => {
    const { socket } = await begin();
    // One field of 4000 bytes in the table, then named 60 times by one byte each: 240 kB.
    const bomb = Buffer.concat([
      requestFields("/quick"),
      fields([["x", "x".repeat(3900)]], true),
      Buffer.alloc(60, 0x80 | 62),
    ]);
    socket.write(frame(frameTypes.headers, flags.endHeaders | flags.endStream, 1, bomb));
    await waitFor("the connection is closed", patience, async () => socket.closed);
    expect(calls).toBe(0);
  });

  it("of streams that never end hold no more than their number, and not for long", async () => {
    const { socket } = await begin({ ...quick, streams: 20 });
    const open = (stream: number) => frame(frameTypes.headers, flags.endHeaders, stream, postFields);
    socket.write(Buffer.concat(Array.from({ length: 60 }, (_, i) => open(1 + 2 * i))));
    await waitFor("the connection is closed", patience, async () => socket.closed);
    expect(mostBodies).toBe(20);
    await waitFor("no body is waited for", patience, async () => bodies === 0);
  });

  it("by pings alone do not keep an idle session", async () => {
    const { socket } = await begin();
    const timer = setInterval(() => socket.write(frame(frameTypes.ping, flags.none, 0, Buffer.alloc(8))), 50);
    await waitFor("the connection is closed", patience, async () => socket.closed);
    clearInterval(timer);
  });

  it("by windows that never open are sent away", async () => {
    // SETTINGS_INITIAL_WINDOW_SIZE 0 (RFC 9113 §6.5.2): no byte of an answer may be sent.
    const { socket } = await begin(quick, [4, 0]);
    socket.write(Buffer.concat(Array.from({ length: 50 }, (_, i) => request(1 + 2 * i, "/large"))));
    await waitFor("the connection is closed", patience, async () => socket.closed);
  });

  it.each([
    ["no frames at all", Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3))],
    ["a frame that is too long", frame(frameTypes.data, flags.none, 1, Buffer.alloc(20_000))],
    ["data without a stream", frame(frameTypes.data, flags.none, 1, Buffer.alloc(10))],
    ["an even stream", request(2)],
    ["broken HPACK", frame(frameTypes.headers, flags.endHeaders, 1, Buffer.from("ffffffffff", "hex"))],
  ])("%s end the session", async (_what, bytes) => {
    const { socket } = await begin();
    socket.write(bytes);
    await waitFor("the connection is closed", patience, async () => socket.closed);
    expect(calls).toBe(0);
  });
});
