import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { openSettings } from "./open-settings.ts";

const secret = "0123456789abcdef0123456789abcdef";
const user = "abc123xyz@chat.example.org";

type Reply = { status: number; body: Record<string, unknown> };

describe("the account service", () => {
  let folder: string;
  let running: ChildProcess[];
  let log: string;

  beforeEach(async () => {
    running = [];
    log = "";
    folder = await mkdtemp(join(tmpdir(), "homing-auth-"));
    await writeFile(join(folder, "relay.json"), JSON.stringify(parseRelayConfig(openSettings, "relay.toml")));
    await writeFile(join(folder, "secret"), `${secret}\n`);
  });
  afterEach(async () => {
    for (const child of running) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    await rm(folder, { recursive: true });
  });

  async function start(): Promise<{ child: ChildProcess; port: number }> {
    const files = ["relay.json", "secret", "accounts.sqlite", ""].map((name) => join(folder, name));
    const child = spawn(process.execPath, [join(import.meta.dirname, "serve.ts"), ...files], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, HOMING_DEBUG: "1" },
    });
    running.push(child);
    child.stderr.on("data", (data) => {
      log += data;
    });
    const port = await Promise.race([
      once(child.stdout, "data").then(([data]) => Number(data)),
      once(child, "exit").then(() => Promise.reject(new Error(`the service did not start: ${log}`))),
    ]);
    return { child, port };
  }

  function ask(
    port: number,
    path: string,
    body: string,
    options: { method?: string; headers?: Record<string, string>; agent?: Agent } = {},
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const headers = { Authorization: `Bearer ${secret}`, ...options.headers };
      const call = request(
        { host: "127.0.0.1", port, path, method: options.method ?? "POST", headers, agent: options.agent },
        async (response) => {
          let text = "";
          for await (const chunk of response) text += chunk;
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) });
        },
      );
      call.on("error", reject);
      call.end(body);
    });
  }

  const login = (port: number, name: string, password: string, agent?: Agent): Promise<Reply> =>
    ask(port, "/verify", `${new URLSearchParams({ user: name, password, service: "imap" })}`, {
      ...(agent === undefined ? {} : { agent }),
    });

  it("creates, verifies, refuses and says whether an account exists", async () => {
    const { port } = await start();
    expect(await ask(port, "/exists", `user=${user}`)).toEqual({ status: 404, body: { result: "unknown" } });
    expect(await login(port, user, "päss+word %&=ok")).toEqual({
      status: 200,
      body: { result: "ok", created: true },
    });
    expect((await login(port, user, "päss+word %&=ok")).body).toEqual({ result: "ok", created: false });
    expect(await ask(port, "/exists", `user=${user}`)).toEqual({ status: 200, body: { result: "ok" } });
    expect(await login(port, user, "päss word %&=ok")).toMatchObject({
      status: 403,
      body: { result: "mismatch" },
    });
    expect(await login(port, "x@chat.example.org", "long-password")).toEqual({
      status: 403,
      body: {
        result: "refused",
        reason: "local-part-length",
        text: "The name is too short or too long for a new account",
      },
    });
    expect(log).toContain("reason=local-part-length");
    expect(log).not.toContain("päss");
    expect(log).not.toContain("abc123xyz");
  });

  it("answers nobody without the secret", async () => {
    const { port } = await start();
    for (const Authorization of ["", "Bearer ", `Bearer ${secret}x`, secret, `Basic ${secret}`]) {
      const reply = await ask(port, "/verify", `user=${user}&password=long-password`, {
        headers: { Authorization },
      });
      expect(reply.status).toBe(401);
    }
    expect((await ask(port, "/exists", `user=${user}`)).status).toBe(404);
  });

  it("gives strangers no place to hold, and one line in the log for all of them", async () => {
    const { port, child } = await start();
    for (let i = 0; i < 50; i++) {
      const socket = connect(port, "127.0.0.1");
      socket.write(`POST /verify HTTP/1.1\r\nHost: x\r\nContent-Length: ${i}\r\n\r\n`);
      let answer = "";
      socket.on("data", (data) => {
        answer += data;
      });
      await once(socket, "close");
      expect(answer).toMatch(/^HTTP\/1\.1 401 /);
    }
    expect(log.match(/without the secret/g)).toHaveLength(1);
    child.kill("SIGTERM");
    await once(child, "exit");
    // The end of the flood is not lost.
    expect(log).toContain('reason="without the secret" count=49');
  });

  it("lets go of those who say nothing, or not all, within seconds, and serves no more than its number", async () => {
    const { port } = await start();
    const head = `POST /verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${secret}\r\n`;
    const dawdlers = ["", "POST /ver", head, `${head}Content-Length: 100\r\n\r\nuser=`].map((bytes) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => socket.destroy());
      socket.resume().write(bytes);
      return once(socket, "close");
    });
    // Node would look after half a minute only.
    await Promise.all(dawdlers);
    const crowd = Array.from({ length: 300 }, () => connect(port, "127.0.0.1"));
    try {
      const gone: unknown[] = [];
      for (const socket of crowd) {
        socket.on("error", () => socket.destroy());
        socket.once("close", () => gone.push(socket)).resume();
      }
      await expect.poll(() => log, { timeout: 10_000 }).toContain('reason="too many connections"');
      await expect.poll(() => gone.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(300 - 256);
      // The first to come is among those served.
      crowd[0]!.write(`${head}Content-Length: 0\r\n\r\n`);
      await once(crowd[0]!, "data");
    } finally {
      for (const socket of crowd) socket.destroy();
    }
    await expect
      .poll(() => login(port, user, "long-password").catch(() => undefined))
      .toMatchObject({ status: 200 });
  }, 25_000);

  it("refuses what is not a proper request, and keeps serving", async () => {
    const { port } = await start();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    try {
      const status = async (path: string, body: string, method = "POST"): Promise<number> =>
        (await ask(port, path, body, { method, agent })).status;
      expect(await status("/verify", "", "GET")).toBe(405);
      expect(await status("/", "user=a")).toBe(404);
      expect(await status("/verify?user=a", "user=a")).toBe(404);
      expect(await status("/verify", "")).toBe(400);
      expect(await status("/verify", `user=${user}`)).toBe(400);
      expect(await status("/verify", `user=${user}&password=a&user=b`)).toBe(400);
      expect(await status("/verify", `user=${user}&password=%ff%ff%ff%ff%ff%ff%ff%ff%ff`)).toBe(403);
      expect(await status("/exists", "user=%ff%ffc123xyz@chat.example.org")).toBe(404);
      expect(await status("/verify", `user=${user}&password=größte-not-escaped`)).toBe(400);
      expect(await status("/verify", `user=${user}&password=${"x".repeat(1_000_000)}`)).toBe(413);
      expect((await login(port, user, "long-password", agent)).status).toBe(200);
    } finally {
      agent.destroy();
    }
  });

  it("survives garbage on the wire and half-sent requests", async () => {
    const { port, child } = await start();
    for (const bytes of [
      "\0\0\0\0\r\n\r\n",
      "POST /verify HTTP/9.9\r\n\r\n",
      `POST /verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${secret}\r\nContent-Length: 100\r\n\r\nuser=`,
      `POST /verify HTTP/1.1\r\nX: ${"y".repeat(100_000)}\r\n\r\n`,
      `POST /verify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
    ]) {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => socket.destroy());
      socket.resume();
      socket.end(bytes);
      await new Promise((resolve) => socket.once("close", resolve));
    }
    expect((await login(port, user, "long-password")).status).toBe(200);
    expect(child.exitCode).toBeNull();
  });

  it("stands a burst of parallel first logins of many accounts", async () => {
    const { port } = await start();
    const replies = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        login(port, `user${String(Math.floor(i / 2)).padStart(5, "0")}@chat.example.org`, "long-password"),
      ),
    );
    expect(replies.map(({ status }) => status)).toEqual(Array(60).fill(200));
  });

  it("ends at SIGTERM with a request under way answered", async () => {
    const { port, child } = await start();
    const reply = login(port, user, "long-password");
    await expect.poll(() => log, { timeout: 10_000 }).toContain("asked path=/verify");
    child.kill("SIGTERM");
    const [code] = await once(child, "exit");
    expect(code).toBe(0);
    expect((await reply).status).toBe(200);
    const again = await start();
    expect((await login(again.port, user, "long-password")).body).toEqual({ result: "ok", created: false });
  });

  it("has every acknowledged account of a thousand after kill -9 in the middle of creations", async () => {
    const acknowledged: string[] = [];
    let next = 0;
    while (acknowledged.length < 1_000) {
      const { child, port } = await start();
      // At no moment in particular: in a hash, a transaction, or an answer.
      const enough = acknowledged.length + 60 + Math.floor(Math.random() * 80);
      const agent = new Agent({ keepAlive: true });
      const client = async (): Promise<void> => {
        for (;;) {
          const name = `user${String(next++).padStart(5, "0")}@chat.example.org`;
          const reply = await login(port, name, `password-of-${name}`, agent).catch(() => undefined);
          if (reply === undefined) return;
          if (reply.status === 200) acknowledged.push(name);
          if (acknowledged.length >= enough && !child.killed) child.kill("SIGKILL");
        }
      };
      const exit = once(child, "exit");
      await Promise.all(Array.from({ length: 24 }, client));
      await exit;
      agent.destroy();
      expect(child.signalCode).toBe("SIGKILL");
    }
    const { port } = await start();
    const agent = new Agent({ keepAlive: true, maxSockets: 24 });
    const replies = await Promise.all(
      acknowledged.map((name) => login(port, name, `password-of-${name}`, agent)),
    );
    expect(replies.filter(({ body }) => body.created !== false)).toEqual([]);
    agent.destroy();
    expect((await login(port, acknowledged[0]!, "somebody-else")).status).toBe(403);
  }, 120_000);

  it("lets one of two passwords win that come at one instant, also for a hundred names at once", async () => {
    const { port } = await start();
    const names = Array.from({ length: 100 }, (_, i) => `race${String(i).padStart(5, "0")}@chat.example.org`);
    const races = await Promise.all(
      names.map((name) => Promise.all(["password-a", "password-b"].map((word) => login(port, name, word)))),
    );
    for (const [i, race] of races.entries()) {
      expect(race.map(({ status }) => status).sort()).toEqual([200, 403]);
      const winner = race[0]!.status === 200 ? "password-a" : "password-b";
      expect((await login(port, names[i]!, winner)).body).toEqual({ result: "ok", created: false });
    }
  });

  it("answers 200 parallel logins of one account, right ones with yes and wrong ones never", async () => {
    const first = await start();
    await login(first.port, user, "long-password");
    first.child.kill("SIGTERM");
    await once(first.child, "exit");
    const again = await start();
    const words = Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? "long-password" : `wrong-word-${i}`));
    const replies = await Promise.all(words.map((word) => login(again.port, user, word)));
    for (const [i, { status }] of replies.entries()) {
      if (i % 2 === 0) expect(status).toBe(200);
      else expect([403, 503]).toContain(status);
    }
    // What one address may try: as a newcomer, again, and as one that has logged in (guess-limits.ts).
    expect(replies.filter(({ status }) => status === 403).length).toBeLessThanOrEqual(1 + 10 + 30);
    expect(log).toMatch(/logins turned away.* result=throttled count=1\n/);
  });

  it("turns a guesser's address away with 503, and nobody else", async () => {
    const { port } = await start();
    const from = (ip: string, password: string): Promise<Reply> =>
      ask(port, "/verify", `${new URLSearchParams({ user, password, ip })}`);
    await from("192.0.2.1", "long-password");
    const replies: Reply[] = [];
    for (let i = 0; i < 15; i++) replies.push(await from("198.51.100.1", `guess-${i}`));
    expect(replies[0]).toMatchObject({ status: 403, body: { result: "mismatch" } });
    expect(replies.at(-1)).toMatchObject({ status: 503, body: { result: "throttled" } });
    // Another password than the one that is remembered, so the guesser learns nothing by time or answer.
    expect((await from("198.51.100.2", "wrong-password")).body.result).toBe("mismatch");
    expect((await from("198.51.100.1", "long-password")).body.result).toBe("ok");
    // A name that has no account is limited like one that has, when none can be made with these passwords.
    const stranger = (word: string): Promise<Reply> =>
      ask(
        port,
        "/verify",
        `${new URLSearchParams({ user: "nobody123@chat.example.org", password: word, ip: "198.51.100.3" })}`,
      );
    const refusals: Reply[] = [];
    for (let i = 0; i < 15; i++) refusals.push(await stranger(`short-${i % 10}`));
    expect(refusals.map(({ status }) => status)).toEqual(replies.map(({ status }) => status));
    expect(refusals[0]).toMatchObject({ body: { result: "refused", reason: "password-too-short" } });
    expect(refusals.at(-1)).toEqual(replies.at(-1));
    expect(log).not.toContain("198.51.100");
  });

  it.each([
    ["the secret is too short", "secret", "short", /fewer than 32 characters/],
    ["the settings are broken", "relay.json", "{", /not JSON/],
    ["the account list is damaged", "accounts.sqlite", "x".repeat(5000), /cannot use the database/],
  ])("does not start when %s, and says why", async (_name, file, content, message) => {
    await writeFile(join(folder, file), content);
    await expect(start()).rejects.toThrow(message);
  });
});
