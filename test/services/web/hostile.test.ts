/** Strangers who send too much to the web service, or what two servers would read in two ways. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { waitFor } from "../../support/wait.ts";
import {
  current,
  endAfterEach,
  patience,
  postFields,
  quick,
  seen,
  start,
  untilClosed,
} from "./hostile-front.ts";
import { flags, frame, frameTypes, preface, requestFields, settings } from "./http2-frames.ts";
import { proxyHeader, readToEnd } from "./running-front.ts";

endAfterEach();

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
    await current()[Symbol.asyncDispose]();
    expect(await ask(`${head}${"X: 1\r\n".repeat(1200)}\r\n`)).toMatch(/ 431 /);
    await current()[Symbol.asyncDispose]();
    expect(await ask(`${head}${"X: 1\r\n".repeat(20_000)}\r\n`)).toMatch(/ 431 /);
    await current()[Symbol.asyncDispose]();
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
    expect(seen.calls).toBe(0);
  });

  it("of requests in one connection are sent away", async () => {
    const { secure } = await start({ ...quick, requestsOfConnection: 20 });
    const socket = await secure();
    socket.write("GET /quick HTTP/1.1\r\nHost: _a.test\r\n\r\n".repeat(500));
    await untilClosed(socket);
    expect(seen.calls).toBeLessThanOrEqual(20);
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
    await waitFor("both requests", patience, async () => seen.bodies === 2);
    expect(await untilClosed(await plain())).toBe("");
    old.write("abc");
    expect(await untilClosed(old)).toMatch(/\r\n\r\n3$/);
    session.destroy();
    await waitFor("no body is waited for", patience, async () => seen.bodies === 0);
  });

  it("of connections that read no answer make room, who has not read for the longest first", async () => {
    const { secure } = await start({ connections: 3 });
    const closedWindow = settings([4, 0]);
    const ask = (stream: number) =>
      frame(frameTypes.headers, flags.endHeaders | flags.endStream, stream, requestFields("/quick"));
    const held: Socket[] = [];
    for (const streams of [[1, 3], [1], [1]]) {
      const socket = await secure("h2");
      socket.resume().write(Buffer.concat([preface, closedWindow, ...streams.map(ask)]));
      held.push(socket);
      const calls = held.length + 1;
      await waitFor("it is answered", patience, () => seen.calls === calls);
    }
    // The first reads one of its answers.
    const heard = once(held[0]!, "data");
    held[0]!.write(frame(frameTypes.windowUpdate, flags.none, 1, Buffer.from([0, 0, 0, 5])));
    await heard;
    const socket = await secure();
    await waitFor("the second is closed", patience, () => held[1]!.closed);
    expect(held.map(({ closed }) => closed)).toEqual([false, true, false]);
    socket.end("GET /quick HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\n\r\n");
    expect(await readToEnd(socket)).toMatch(/^HTTP\/1.1 200/);
  });

  it("of connections from one network find no place, and leave some to others", async () => {
    const { secure } = await start({ connectionsOfSite: 2 });
    const from = (client: number): Buffer => {
      const header = Buffer.from(proxyHeader);
      header[19] = client;
      return header;
    };
    const held = [await secure("http/1.1", from(9)), await secure("http/1.1", from(9))];
    await expect(secure("http/1.1", from(9))).rejects.toThrow();
    const other = await secure("http/1.1", from(10));
    for (const socket of [...held, other]) {
      socket.end("GET /quick HTTP/1.1\r\nHost: _a.test\r\nConnection: close\r\n\r\n");
      expect(await readToEnd(socket)).toMatch(/^HTTP\/1.1 200/);
    }
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
    expect(seen.calls).toBe(0);
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
    expect(seen.calls).toBe(0);
  });
});
