/** Strangers who take their time with the web service. Each limit against the running doors. */
import { connect, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { waitFor } from "../../support/wait.ts";
import {
  connectionsOf,
  current,
  endAfterEach,
  patience,
  postFields,
  seen,
  start,
  untilClosed,
} from "./hostile-front.ts";
import { flags, frame, frameTypes, preface, requestFields, settings } from "./http2-frames.ts";
import { proxyHeader } from "./running-front.ts";

endAfterEach();

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
      await waitFor("the place is free again", patience, async () => (await connectionsOf(current())) === 0);
      if (protocol === "http/1.1") await current()[Symbol.asyncDispose]();
    }
  });

  it.each(["http/1.1", "h2"] as const)(
    "over a body, and go away, are noticed long before it would be due (%s)",
    async (protocol) => {
      const { secure } = await start({});
      const ways: readonly ((socket: Socket) => void)[] = [
        (socket) => socket.end(),
        (socket) => socket.destroy(),
        // Without TLS saying so.
        (socket) => ((socket as { _parent?: Socket })._parent ?? socket).end(),
      ];
      for (const goAway of ways) {
        const socket = await secure(protocol);
        socket.resume();
        if (protocol === "h2") {
          const open = frame(frameTypes.headers, flags.endHeaders, 1, postFields);
          const part = frame(frameTypes.data, flags.none, 1, Buffer.from("abc"));
          socket.write(Buffer.concat([preface, settings(), open, part]));
        } else socket.write("POST /body HTTP/1.1\r\nHost: _a.test\r\nContent-Length: 3000\r\n\r\nabc");
        await waitFor("the body is waited for", patience, () => seen.bodies === 1);
        goAway(socket);
        // A body may pause for 20 s (limits.ts), and the patience is shorter.
        await waitFor("no body is waited for", patience, () => seen.bodies === 0);
      }
    },
  );
});
