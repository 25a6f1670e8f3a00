/** What the door tells of mail, to a real socket that comes and goes. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createNews, type News } from "../../../services/door/news.ts";
import { createLog } from "../../../services/lib/log.ts";

let folder: string;
let path: string;
let news: News;
let heard: string[];
let lines: string[];
let answers: boolean;
let server: Server | undefined;
let open: Set<Socket>;

async function listen() {
  server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      const told = chunk.toString().split("\n").slice(0, -1);
      heard.push(...told);
      if (answers) socket.write("noted\n".repeat(told.length));
    });
  });
  server.listen(path);
  await once(server, "listening");
}
async function leave() {
  const closed = new Promise((resolve) => server?.close(resolve));
  for (const socket of open) socket.destroy();
  await closed;
  server = undefined;
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-news-"));
  path = join(folder, "news.sock");
  [heard, lines, answers, open] = [[], [], true, new Set()];
  news = createNews({ path, log: createLog((line) => void lines.push(line)), pauseMs: 20 });
});
afterEach(async () => {
  news.close();
  if (server !== undefined) await leave();
  await rm(folder, { recursive: true });
});

it("tells of each message on one connection", async () => {
  await listen();
  for (const name of ["a", "b", "a"]) {
    news.tell(`${name}@a.test`);
    const count = heard.length + 1;
    await expect.poll(() => heard.length).toBe(count);
  }
  expect(heard).toEqual(["mail a@a.test", "mail b@a.test", "mail a@a.test"]);
  expect(open.size).toBe(1);
});

it("tells again what was not answered when the service went away, and what came meanwhile once", async () => {
  await listen();
  answers = false;
  news.tell("a@a.test");
  await expect.poll(() => heard).toEqual(["mail a@a.test"]);
  await leave();
  for (let i = 0; i < 3; i++) news.tell("b@a.test");
  await expect.poll(() => lines.length).toBe(1);
  heard = [];
  answers = true;
  await listen();
  await expect.poll(() => heard.sort()).toEqual(["mail a@a.test", "mail b@a.test"]);
  expect(lines).toHaveLength(1);
});

it("tells no more to a service that takes all and answers nothing, until it does", async () => {
  await listen();
  answers = false;
  const most = 10_000;
  for (let i = 0; i < most; i++) news.tell(`a${i}@a.test`);
  await expect.poll(() => heard.length).toBe(most);
  for (let i = 0; i < 5; i++) news.tell(`b${i}@a.test`);
  for (const socket of open) socket.write("noted\n");
  await expect.poll(() => heard.length).toBe(most + 1);
  for (const socket of open) socket.write("noted\n".repeat(most));
  await expect.poll(() => heard.length).toBe(most + 5);
});

it("comes less and less often to a service that hangs up, and says so once", async () => {
  const came: number[] = [];
  server = createServer((socket) => {
    came.push(performance.now());
    socket.destroy();
  });
  server.listen(path);
  await once(server, "listening");
  for (let i = 0; i < 3; i++) news.tell(`a${i}@a.test`);
  await expect.poll(() => came.length, { timeout: 10_000 }).toBe(5);
  const pauses = came.slice(1).map((time, i) => time - came[i]!);
  // Timers may come a millisecond early.
  for (const [i, pause] of pauses.entries()) expect(pause).toBeGreaterThan(20 * 2 ** i - 2);
  expect(lines).toHaveLength(1);
});

it("writes nothing that could be another command", async () => {
  await listen();
  news.tell("a@a.test\nmail b@a.test");
  news.tell("c d@a.test");
  news.tell("e@a.test");
  await expect.poll(() => heard).toEqual(["mail e@a.test"]);
});
