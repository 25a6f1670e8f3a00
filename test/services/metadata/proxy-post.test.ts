import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createProxyPost, type ProxyPost } from "../../../services/metadata/proxy-post.ts";
import {
  answers,
  answersGarbage,
  hangs,
  startTestProxy,
  type TestProxy,
} from "../../support/notification-proxy.ts";
import { makeEcPem, makeTestAuthority } from "../../support/test-authority.ts";

const LIMIT_MS = 300;
const noRoots = Buffer.alloc(0);
let proxy: TestProxy;
let sender: ProxyPost;
beforeEach(async () => {
  proxy = await startTestProxy();
  sender = createProxyPost({ url: proxy.url, roots: noRoots, attemptLimitMs: LIMIT_MS });
});
afterEach(async () => {
  sender.close();
  await proxy[Symbol.asyncDispose]();
});

it("tells the proxy the token and nothing else", async () => {
  const token = "openpgp:aGVsbG8gd29ybGQ=".padEnd(4096, "x");
  expect(await sender.post(token)).toEqual({ status: 200, retryAfter: undefined });
  expect(await sender.post("fcm-2")).toEqual({ status: 200, retryAfter: undefined });
  const host = new URL(proxy.url).host;
  expect(proxy.received.map(({ token, headers }) => ({ token, headers }))).toEqual([
    { token, headers: { host, connection: "keep-alive", "content-length": "4096" } },
    { token: "fcm-2", headers: { host, connection: "keep-alive", "content-length": "5" } },
  ]);
});

it("follows nobody elsewhere, and hears when to come again", async () => {
  proxy.setMood(answers(302, { Location: "http://127.0.0.1:1/" }));
  expect((await sender.post("phone")).status).toBe(302);
  proxy.setMood(answers(503, { "Retry-After": "120" }));
  expect(await sender.post("phone")).toEqual({ status: 503, retryAfter: 120 });
  proxy.setMood(answers(503, { "Retry-After": "Fri, 31 Dec 2999 23:59:59 GMT" }));
  expect(await sender.post("phone")).toEqual({ status: 503, retryAfter: undefined });
});

it.each([
  ["hangs", hangs],
  ["answers garbage", answersGarbage],
  [
    "drips",
    (({ socket }) => {
      const timer = setInterval(() => socket.write("HTTP/1.1 200 OK\r\n".slice(0, 1)), 10);
      socket.on("close", () => clearInterval(timer));
    }) satisfies typeof hangs,
  ],
  [
    "answers with endless headers",
    ({ socket }) => void socket.write(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(100_000)}`),
  ],
  ["closes", ({ socket }) => void socket.destroy()],
] as [string, typeof hangs][])("gives up a proxy that %s, and asks the next time", async (_what, mood) => {
  proxy.setMood(mood);
  await expect(sender.post("phone")).rejects.toThrow();
  proxy.setMood(answers(410));
  expect((await sender.post("phone")).status).toBe(410);
});

it("reads no more of an answer than it needs", async () => {
  let isClosed = false;
  proxy.setMood((_request, response) => {
    const pour = () => {
      while (response.writable && response.write("x".repeat(10_000)));
    };
    response.on("drain", pour).on("close", () => {
      isClosed = true;
    });
    pour();
  });
  expect((await sender.post("phone")).status).toBe(200);
  await expect.poll(() => isClosed).toBe(true);
});

it("repeats a request on a kept connection that the proxy closed just then", async () => {
  proxy.setMood(answers(204));
  await sender.post("first");
  await setImmediate();
  let isFirst = true;
  proxy.setMood(({ socket }, response) => {
    if (isFirst) socket.resetAndDestroy();
    else response.end();
    isFirst = false;
  });
  expect((await sender.post("second")).status).toBe(200);
});

it("hands tokens only to a proxy whose certificate it can verify", async () => {
  const authority = await makeTestAuthority();
  const key = makeEcPem();
  const cert = (await authority.certify(key, ["127.0.0.1"])) + authority.intermediate;
  await using secure = await startTestProxy({ tls: { key, cert } });
  const trusting = createProxyPost({ url: secure.url, roots: Buffer.from(authority.root) });
  expect((await trusting.post("phone")).status).toBe(200);
  trusting.close();
  const other = await makeTestAuthority();
  const doubting = createProxyPost({ url: secure.url, roots: Buffer.from(other.root) });
  await expect(doubting.post("phone")).rejects.toThrow(/certificate/);
  doubting.close();
  expect(secure.received).toHaveLength(1);
});
