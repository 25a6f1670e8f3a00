import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";

const secret = "0123456789abcdef0123456789abcdef";
const user = "abc123xyz@chat.example.org";
// The machine that runs the tests may be busy or small; the limits themselves are tested in rules.test.ts.
const settings = `domain = "chat.example.org"
[sign_up]
max_load_average = 1000
min_free_memory_bytes = 0
min_free_disk_bytes = 0
`;

type Reply = { status: number; body: Record<string, unknown> };

describe("the account service", () => {
  let folder: string;
  let running: ChildProcess[];
  let log: string;

  beforeEach(async () => {
    running = [];
    log = "";
    folder = await mkdtemp(join(tmpdir(), "homing-auth-"));
    await writeFile(join(folder, "relay.json"), JSON.stringify(parseRelayConfig(settings, "relay.toml")));
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

  it("has every acknowledged account after kill -9 in the middle of creations", async () => {
    const acknowledged: string[] = [];
    let next = 0;
    for (let round = 0; round < 3; round++) {
      const { child, port } = await start();
      const before = acknowledged.length;
      const client = async (): Promise<void> => {
        for (;;) {
          const name = `user${String(next++).padStart(5, "0")}@chat.example.org`;
          const reply = await login(port, name, `password-of-${name}`).catch(() => undefined);
          if (reply === undefined) return;
          if (reply.status === 200) acknowledged.push(name);
          if (acknowledged.length >= before + 15 && !child.killed) child.kill("SIGKILL");
        }
      };
      await Promise.all(Array.from({ length: 6 }, client));
      if (child.signalCode === null) await once(child, "exit");
      expect(child.signalCode).toBe("SIGKILL");
    }
    expect(acknowledged.length).toBeGreaterThanOrEqual(45);
    const { port } = await start();
    for (const name of acknowledged) {
      expect((await login(port, name, `password-of-${name}`)).body).toEqual({ result: "ok", created: false });
    }
    expect((await login(port, acknowledged[0]!, "somebody-else")).status).toBe(403);
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
