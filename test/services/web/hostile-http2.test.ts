/** Strangers who flood the web service by means that HTTP/2 alone has. */
import { describe, expect, it } from "vitest";
import { type WebLimits, webLimits } from "../../../services/web/limits.ts";
import { waitFor } from "../../support/wait.ts";
import {
  connectionsOf,
  current,
  endAfterEach,
  patience,
  postFields,
  quick,
  seen,
  start,
  writeUntilClosed,
} from "./hostile-front.ts";
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

endAfterEach();

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
    expect(seen.calls).toBeLessThan(2_000);
  });

  it("of continuations end the session", async () => {
    const { socket } = await begin();
    socket.write(frame(frameTypes.headers, flags.none, 1, requestFields("/quick")));
    const piece = frame(frameTypes.continuation, flags.none, 1, fields([["x", "x".repeat(1000)]]));
    expect(await writeUntilClosed(socket, piece, 10_000)).toBeLessThan(10_000);
    expect(seen.calls).toBe(0);
  });

  it.each([
    ["settings", settings([3, 100])],
    ["pings", frame(frameTypes.ping, flags.none, 0, Buffer.alloc(8))],
  ])("of %s whose answers nobody reads end the session", async (_what, piece) => {
    const { socket } = await begin();
    socket.pause();
    const many = Buffer.concat(Array<Buffer>(1000).fill(piece));
    await writeUntilClosed(socket, many, 20_000);
    await waitFor("the place is free again", patience, async () => (await connectionsOf(current())) === 0);
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
    expect(seen.calls).toBe(0);
  });

  it("of streams that never end hold no more than their number, and not for long", async () => {
    const { socket } = await begin({ ...quick, streams: 20 });
    const open = (stream: number) => frame(frameTypes.headers, flags.endHeaders, stream, postFields);
    socket.write(Buffer.concat(Array.from({ length: 60 }, (_, i) => open(1 + 2 * i))));
    await waitFor("the connection is closed", patience, async () => socket.closed);
    expect(seen.mostBodies).toBe(20);
    await waitFor("no body is waited for", patience, async () => seen.bodies === 0);
  });

  it("by pings alone do not keep an idle session", async () => {
    const { socket } = await begin();
    const timer = setInterval(() => socket.write(frame(frameTypes.ping, flags.none, 0, Buffer.alloc(8))), 50);
    await waitFor("the connection is closed", patience, async () => socket.closed);
    clearInterval(timer);
  });

  it("by windows that never open, and ever more requests, end the session, and cost what few cost", async () => {
    const { socket, frames } = await begin({}, [4, 0]);
    const most = webLimits.streams;
    const ask = (from: number, to: number) =>
      socket.write(Buffer.concat(Array.from({ length: to - from }, (_, i) => request(1 + 2 * (from + i)))));
    ask(0, most + 1);
    // RFC 9113 §8.7: who does not know the limit yet may ask again for what is refused so.
    const refusal = { type: frameTypes.rstStream, stream: 1 + 2 * most, payload: Buffer.from([0, 0, 0, 7]) };
    await waitFor("the last is refused", patience, () => frames().some(({ type }) => type === refusal.type));
    expect(frames()).toContainEqual(refusal);
    ask(most + 1, 99);
    await waitFor("the connection is closed", patience, () => socket.closed);
    expect(seen.calls).toBe(most);
  });

  it("by windows that never open are sent away", async () => {
    // SETTINGS_INITIAL_WINDOW_SIZE 0 (RFC 9113 §6.5.2): no byte of an answer may be sent.
    const { socket } = await begin(quick, [4, 0]);
    socket.write(
      Buffer.concat(Array.from({ length: webLimits.streams }, (_, i) => request(1 + 2 * i, "/large"))),
    );
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
    expect(seen.calls).toBe(0);
  });
});
