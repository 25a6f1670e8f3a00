/** Getting an account over HTTPS: the web service and the account service together, as apps and browsers see them. */
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { askControl } from "../../../appliance/ctl/control-client.ts";
import { selfSignedCertificate } from "../../../appliance/life/certificate.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { webDefaultsFolder } from "../../../appliance/web-defaults.ts";
import { startAuthService } from "../../../services/auth/service.ts";
import { createLog } from "../../../services/lib/log.ts";
import type { ShutdownStep } from "../../../services/lib/shutdown.ts";
import { startWebService } from "../../../services/web/service.ts";
import { solvePuzzle } from "../auth/solve-puzzle.ts";

const domain = "_a.test";
/** Three accounts in all, then one in a minute; two for a network. */
const settings = `domain = "${domain}"
[sign_up]
max_load_average = 1000
min_free_memory_bytes = 0
min_free_disk_bytes = 0
relay_burst = 3
relay_per_hour = 60
network_burst = 2
network_per_hour = 1
`;
const log = createLog(() => {});

type Answer = Readonly<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }>;

describe("sign-up on the web", () => {
  let folder: string;
  let stopAuth: readonly ShutdownStep[];
  let stopWeb: readonly ShutdownStep[];
  const at = (name: string): string => join(folder, name);
  const run = async (steps: readonly ShutdownStep[]): Promise<void> => {
    for (const step of steps) await step.run();
  };
  const control = () => askControl(at("control.sock"));

  /** A new one has its limits whole again. */
  const startAuth = async (): Promise<void> => {
    const { stop } = await startAuthService({
      settingsPath: at("relay.json"),
      secretPath: at("secret"),
      databasePath: at("accounts.sqlite"),
      writerProgram: new URL("../../../services/auth/store-writer.ts", import.meta.url),
      mailDirectory: folder,
      listen: { name: "auth", host: "127.0.0.1", port: 0 },
      recipients: { name: "recipients", path: at("recipients.sock") },
      signUp: { name: "sign-up", path: at("sign-up.sock") },
      control: { name: "control", path: at("control.sock"), mode: 0o600 },
      log,
    });
    stopAuth = stop;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-web-new-"));
    await writeFile(at("relay.json"), JSON.stringify(parseRelayConfig(settings, "relay.toml")));
    await writeFile(at("secret"), "0123456789abcdef0123456789abcdef");
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    await writeFile(at("key.pem"), keyPem);
    await writeFile(at("chain.pem"), await selfSignedCertificate({ domain, keyPem, now: new Date() }));
    await startAuth();
    const { stop } = await startWebService({
      settingsPath: at("relay.json"),
      certificate: { chain: at("chain.pem"), key: at("key.pem") },
      acmeChallenges: at("acme"),
      pages: [webDefaultsFolder],
      signUpSocket: at("sign-up.sock"),
      listen: {
        http: { name: "http", host: "127.0.0.1", port: 0 },
        tls: { name: "web", path: at("web.sock") },
      },
      log,
    });
    stopWeb = stop;
  });
  afterAll(async () => {
    await run(stopWeb);
    await run(stopAuth);
    await rm(folder, { recursive: true });
  });
  beforeEach(async () => {
    await run(stopAuth);
    await startAuth();
    await control()("PUT", "/sign-up", { mode: "open" });
  });

  /** A request as services/mux hands it over, from 192.0.2.`client`. */
  const ask = async (line: string, options: { language?: string; client?: number } = {}): Promise<Answer> => {
    const [method, path] = line.split(" ");
    const header = Buffer.from("0d0a0d0a000d0a515549540a2111000cc0000200c000020110e101bb", "hex");
    header[19] = options.client ?? 7;
    const raw = connect(at("web.sock"));
    raw.write(header);
    const socket = tlsConnect({ socket: raw, servername: domain, rejectUnauthorized: false });
    const agent = Object.assign(new Agent(), { createConnection: () => socket });
    const headers = { host: domain, "accept-language": options.language ?? "en", connection: "close" };
    const call = request({ method, path, headers, agent });
    call.end();
    const [response] = await once(call, "response");
    let text = "";
    for await (const piece of response) text += piece;
    return { status: response.statusCode, headers: response.headers, text };
  };
  const invitation = async (): Promise<string> =>
    String((await control()("POST", "/invites", { uses: "1", note: "" })).token);
  const flood = async (): Promise<void> => {
    for (const client of [1, 2, 3]) expect((await ask("POST /new", { client })).status).toBe(200);
  };

  it.each(["/new", `https://${domain}/new`])("answers POST %s with address and password", async (path) => {
    const { status, headers, text } = await ask(`POST ${path}`);
    expect(status).toBe(200);
    expect(headers["content-type"]).toBe("application/json");
    expect(headers["cache-control"]).toBe("no-store");
    expect(JSON.parse(text)).toEqual({
      email: expect.stringMatching(/^[a-z0-9]{9}@_a\.test$/),
      password: expect.stringMatching(/^[\w-]{43}$/),
    });
  });

  it("sends a browser to the app", async () => {
    const { status, headers } = await ask("GET /new");
    expect(status).toBe(302);
    expect(headers.location).toBe("dcaccount:https://_a.test/new");
    expect((await ask("GET /new?t=some-token")).headers.location).toBe("/i/some-token");
  });

  it("shows an invitation without using it up, and says when it is used up, in the reader's language", async () => {
    await control()("PUT", "/sign-up", { mode: "invite" });
    const token = await invitation();
    for (let i = 0; i < 3; i++) {
      const page = await ask(`GET /i/${token}`);
      expect(page.status).toBe(200);
      expect(page.headers["cache-control"]).toBe("no-store");
      expect(page.text).toContain(`href="dcaccount:https://_a.test/new?t=${token}"`);
      expect(page.text).toContain("<svg");
      expect(page.text).toContain("You are invited");
    }
    expect((await ask(`GET /i/${token}`, { language: "de" })).text).toContain("Du bist eingeladen");
    expect((await ask(`POST /new?t=${token}`)).status).toBe(200);
    const spent = await ask(`POST /new?t=${token}`, { language: "de-CH, de;q=0.8" });
    expect(spent.status).toBe(410);
    expect(JSON.parse(spent.text)).toEqual({
      reason: "Diese Einladung wurde schon benutzt. Bitte um eine neue.",
    });
    const page = await ask(`GET /i/${token}`);
    expect(page.status).toBe(410);
    expect(page.text).toContain("This invitation was used already");
    expect(page.text).not.toContain("dcaccount:");
  });

  it("says why not: nobody, no invitation, an unknown one", async () => {
    await control()("PUT", "/sign-up", { mode: "invite" });
    const reasonOf = ({ status, text }: Answer) => [status, JSON.parse(text).reason];
    expect(reasonOf(await ask("POST /new"))).toEqual([403, expect.stringContaining("by invitation only")]);
    for (const token of ["x", "%00", "a".repeat(24), "a".repeat(1_500), "..%2F..%2Fetc", "%F0%9F%90%B4"]) {
      expect((await ask(`GET /i/${token}`)).status, token).toBe(404);
      const { status } = await ask(`POST /new?t=${token}`);
      // What is longer than any token counts as none.
      expect([403], token).toContain(status);
    }
    expect((await ask("GET /new")).status).toBe(403);
    await control()("PUT", "/sign-up", { mode: "closed" });
    expect(reasonOf(await ask("POST /new"))).toEqual([403, expect.stringContaining("no new profiles")]);
    expect((await ask(`GET /i/${await invitation()}`)).status).toBe(403);
    expect((await ask("GET /new")).text).toContain("no new profiles");
  });

  it("shows on the home page at once what the operator chose", async () => {
    await expect.poll(async () => (await ask("GET /")).text).toContain("dcaccount:");
    await control()("PUT", "/sign-up", { mode: "closed" });
    await expect.poll(async () => (await ask("GET /")).text).not.toContain("dcaccount:");
  });

  it("in a flood tells the app when to come back, and gives a browser a puzzle for a link", async () => {
    await flood();
    const app = await ask("POST /new");
    expect(app.status).toBe(429);
    expect(Number(app.headers["retry-after"])).toBeGreaterThan(50);
    expect(Number(app.headers["retry-after"])).toBeLessThanOrEqual(60);
    expect(JSON.parse(app.text).reason).toBe(
      "Many people are getting a profile just now. Try again in 1 min, or open https://_a.test/new in a browser.",
    );
    const page = await ask("GET /new");
    expect(page.status).toBe(200);
    const data = (name: string) => new RegExp(`data-${name}="([^"]*)"`).exec(page.text)?.[1] ?? "";
    const puzzle = {
      challenge: data("challenge"),
      rounds: Number(data("rounds")),
      bits: Number(data("bits")),
    };
    expect(data("link")).toBe("dcaccount:https://_a.test/new?proof=");
    expect(page.text).toMatch(/<script src="\/proof\.js\?v=[\w-]+" defer><\/script>/);
    const url = `/new?proof=${encodeURIComponent(solvePuzzle(puzzle))}`;
    expect((await ask(`POST ${url}`)).status).toBe(200);
    const again = await ask(`POST ${url}`);
    expect(again.status).toBe(429);
    expect(JSON.parse(again.text).reason).toContain("used already");
    for (const name of ["proof.js", "proof-worker.js"])
      expect((await ask(`GET /${name}`)).headers["content-type"]).toMatch(/^text\/javascript/);
  });

  it("holds up nobody with an invitation in a flood", async () => {
    await flood();
    await control()("PUT", "/sign-up", { mode: "invite" });
    expect((await ask(`POST /new?t=${await invitation()}`)).status).toBe(200);
  });

  it("says that it does not work just now while the account service is away, and goes on afterwards", async () => {
    await run(stopAuth);
    try {
      const app = await ask("POST /new", { language: "de" });
      expect(app.status).toBe(503);
      expect(app.headers["retry-after"]).toBe("30");
      expect(JSON.parse(app.text).reason).toContain("gerade kein Profil anlegen");
      expect((await ask("GET /new")).status).toBe(503);
      expect((await ask("GET /i/abc")).status).toBe(503);
      expect((await ask("GET /")).status).toBe(200);
    } finally {
      await startAuth();
    }
    expect((await ask("POST /new")).status).toBe(200);
  });

  it("takes no body and no other method", async () => {
    expect((await ask("PUT /new")).status).toBe(405);
    expect((await ask("POST /i/abc")).status).toBe(405);
  });
});
