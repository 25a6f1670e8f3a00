/** Sign-up as services/web asks for it, and homing-ctl's socket, on the account service as a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { waitFor } from "../../support/wait.ts";
import { openSettings } from "./open-settings.ts";

type Reply = { status: number; body: Record<string, unknown> };

describe("the sockets of services/web and homing-ctl", () => {
  let folder: string;
  let running: ChildProcess[];
  let agent: Agent;
  beforeEach(async () => {
    running = [];
    agent = new Agent({ keepAlive: true, maxSockets: 16 });
    folder = await mkdtemp(join(tmpdir(), "homing-sign-up-"));
    await writeFile(join(folder, "relay.json"), JSON.stringify(parseRelayConfig(openSettings, "relay.toml")));
    await writeFile(join(folder, "secret"), "0123456789abcdef0123456789abcdef");
  });
  afterEach(async () => {
    agent.destroy();
    for (const child of running) await kill(child);
    await rm(folder, { recursive: true });
  });

  const kill = async (child: ChildProcess): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  const database = () => join(folder, "accounts.sqlite");
  const start = async (): Promise<ChildProcess> => {
    const files = [join(folder, "relay.json"), join(folder, "secret"), database(), folder];
    const child = spawn(process.execPath, [join(import.meta.dirname, "serve.ts"), ...files], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.push(child);
    let log = "";
    child.stderr.on("data", (data) => {
      log += data;
    });
    await Promise.race([
      once(child.stdout, "data"),
      once(child, "exit").then(() => Promise.reject(new Error(`the service did not start: ${log}`))),
    ]);
    return child;
  };

  const ask = (socket: "sign-up" | "control", line: string, fields: Record<string, string> = {}) =>
    new Promise<Reply>((resolve, reject) => {
      const [method, path] = line.split(" ");
      const call = request(
        { socketPath: `${database()}.${socket}`, method, path, agent, timeout: 10_000 },
        async (response) => {
          try {
            let text = "";
            for await (const chunk of response) text += chunk;
            resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) });
          } catch (cause) {
            reject(cause);
          }
        },
      );
      call.on("error", reject);
      call.end(method === "GET" ? undefined : `${new URLSearchParams(fields)}`);
    });
  const signUp = (invitation = "", client = "192.0.2.1") =>
    ask("sign-up", "POST /sign-up", { client, invitation });

  it("makes accounts, and says what is asked for in vain", async () => {
    await start();
    const made = await signUp();
    expect(made).toEqual({
      status: 200,
      body: {
        result: "made",
        email: expect.stringMatching(/^[a-z0-9]{9}@chat\.example\.org$/),
        password: expect.stringMatching(/^[\w-]{43}$/),
      },
    });
    expect(await ask("sign-up", "POST /welcome", { client: "" })).toEqual({
      status: 200,
      body: { mode: "open" },
    });
    expect((await ask("sign-up", "POST /sign-up")).status).toBe(400);
    expect((await ask("sign-up", "GET /sign-up")).status).toBe(405);
    expect((await ask("sign-up", "POST /invites", { uses: "1" })).status).toBe(404);
    expect((await ask("sign-up", "POST /sign-up", { client: "x".repeat(10_000) })).status).toBe(413);
  });

  it("obeys homing-ctl at once: mode and invitations", async () => {
    await start();
    // Root alone: whoever reaches it decides who gets in.
    expect((await stat(`${database()}.control`)).mode & 0o777).toBe(0o600);
    expect(await ask("control", "GET /sign-up")).toEqual({
      status: 200,
      body: { mode: "open", settings: "open" },
    });
    expect(await ask("control", "PUT /sign-up", { mode: "invite" })).toEqual({
      status: 200,
      body: { mode: "invite", settings: "open" },
    });
    expect(await signUp()).toEqual({
      status: 403,
      body: { result: "refused", reason: "invitation-needed" },
    });
    const expires = Math.floor(Date.now() / 1000) + 3600;
    const created = await ask("control", "POST /invites", {
      uses: "1",
      expires: `${expires}`,
      note: "Ada & Co",
    });
    const { token, link, ...listed } = created.body as { token: string; link: string };
    expect(link).toBe(`https://chat.example.org/i/${token}`);
    expect(await ask("sign-up", "POST /invitation", { token })).toEqual({
      status: 200,
      body: { mode: "invite", state: "good" },
    });
    expect((await signUp(token)).status).toBe(200);
    expect(await signUp(token, "192.0.2.2")).toEqual({
      status: 410,
      body: { result: "refused", reason: "invitation-used-up" },
    });
    expect(await ask("control", "GET /invites")).toEqual({
      status: 200,
      body: { invites: [{ ...listed, usesLeft: 0 }] },
    });
    expect((await ask("control", "DELETE /invites/1")).status).toBe(200);
    expect((await ask("control", "DELETE /invites/1")).status).toBe(404);
    expect((await signUp(token)).body.reason).toBe("invitation-unknown");
  });

  it("refuses homing-ctl's mistakes in words, and changes nothing", async () => {
    await start();
    const mistakes: [string, Record<string, string>][] = [
      ["PUT /sign-up", { mode: "Open" }],
      ["PUT /sign-up", {}],
      ["POST /invites", {}],
      ["POST /invites", { uses: "0" }],
      ["POST /invites", { uses: "1e3" }],
      ["POST /invites", { uses: "100001" }],
      ["POST /invites", { uses: "1", expires: "1" }],
      ["POST /invites", { uses: "1", expires: "99999999999" }],
      ["POST /invites", { uses: "1", expires: "tomorrow" }],
      ["POST /invites", { uses: "1", note: "x".repeat(201) }],
      ["POST /invites", { uses: "1", note: "two\nlines" }],
      ["POST /invites", { uses: "1", note: "\u202egnp.exe" }],
    ];
    for (const [line, fields] of mistakes) {
      const reply = await ask("control", line, fields);
      expect(reply.status, JSON.stringify([line, fields])).toBe(400);
      expect(String(reply.body.text).length).toBeGreaterThan(10);
    }
    expect((await ask("control", "GET /invites")).body).toEqual({ invites: [] });
    expect((await ask("control", "GET /sign-up")).body).toEqual({ mode: "open", settings: "open" });
  });

  it("loses no account and no use of an invitation when it is killed at any moment", async () => {
    const uses = 1_000;
    let token = "";
    let made: string[] = [];
    for (let round = 0; round < 5; round++) {
      const child = await start();
      if (round === 0) {
        await ask("control", "PUT /sign-up", { mode: "invite" });
        token = String((await ask("control", "POST /invites", { uses: `${uses}`, note: "" })).body.token);
      }
      const enough = made.length + 20 + 7 * round;
      const load = Array.from({ length: 8 }, async () => {
        for (;;) {
          const reply = await signUp(token).catch(() => undefined);
          // The process is gone.
          if (reply?.status !== 200) return;
          made = [...made, String(reply.body.email)];
        }
      });
      await waitFor("accounts are made", 20_000, () => made.length >= enough);
      await kill(child);
      await Promise.all(load);
    }
    await start();
    expect((await ask("control", "GET /sign-up")).body.mode).toBe("invite");
    const list = new DatabaseSync(database(), { readOnly: true });
    try {
      const addresses = list.prepare("SELECT address FROM accounts").all();
      const { left } = list.prepare("SELECT uses_left AS left FROM invites").get() as { left: number };
      expect(uses - left).toBe(addresses.length);
      const kept = new Set(addresses.map(({ address }) => address));
      expect(made.filter((address) => !kept.has(address))).toEqual([]);
      // Not answered: at most those that were asked for when it was killed.
      expect(kept.size - made.length).toBeLessThanOrEqual(5 * 8);
    } finally {
      list.close();
    }
  });
});
