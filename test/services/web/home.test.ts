/** The status page at home, as browsers and others in and outside of the network get it, with the real account service. */
import { rm, symlink, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { CanaryVerdict } from "../../../appliance/canary.ts";
import type { StatusFacts } from "../../../appliance/life/judgement.ts";
import { createLog } from "../../../services/lib/log.ts";
import type { RequestHead } from "../../../services/web/exchange.ts";
import { isFromHome } from "../../../services/web/home/from-home.ts";
import { createHomeSite } from "../../../services/web/home/home-site.ts";
import { homeWords } from "../../../services/web/home/home-words.ts";
import { domain, homePin, type RunningSignUp, runSignUp } from "./running-sign-up.ts";

const headOf = (client: string, host: string, isSecure = false): RequestHead => ({
  ...{ method: "GET", path: "/", query: new URLSearchParams(), client, host, isSecure },
  headers: { get: () => undefined, all: () => [] },
});

describe("a request from home", () => {
  it.each([
    ["192.168.1.20", "homing.local"],
    ["10.0.0.7", "homing2.local"],
    ["172.16.3.4", "172.16.0.1"],
    ["169.254.1.1", "homing.local"],
    ["fe80::1", "[fe80::2]"],
    ["fd12:3456::1", "homing.local"],
  ])("is one of %s to %s", (client, host) => {
    expect(isFromHome(headOf(client, host))).toBe(true);
  });

  it.each([
    ["203.0.113.5", "homing.local", "comes from the Internet"],
    ["203.0.113.5", "192.168.1.5", "does too"],
    ["100.64.0.9", "homing.local", "comes from another customer of the provider"],
    ["172.32.0.1", "homing.local", "comes from no private address"],
    ["2001:db8::1", "homing.local", "neither"],
    ["::ffff:203.0.113.5", "homing.local", "neither"],
    ["", "homing.local", "comes from nobody knows where"],
    ["192.168.1.20", "evil.example", "was led here by a name of others (DNS rebinding)"],
    ["192.168.1.20", "homing.local.evil.example", "too"],
    ["192.168.1.20", "192.168.1.5.evil.example", "too"],
    ["192.168.1.20", domain, "is for the relay's pages"],
    ["192.168.1.20", "203.0.113.5", "too"],
    ["192.168.1.20", "", "names nobody"],
  ])("is none of %s to %s: it %s", (client, host) => {
    expect(isFromHome(headOf(client, host))).toBe(false);
  });

  it("is none over TLS", () => {
    expect(isFromHome(headOf("192.168.1.20", "homing.local", true))).toBe(false);
  });
});

describe("the words at home", () => {
  it("are there for the same things in every language", () => {
    const [en, de] = [homeWords.en!, homeWords.de!];
    expect(Object.keys(de)).toEqual(Object.keys(en));
    expect(Object.keys(de.advice)).toEqual(Object.keys(en.advice));
    expect(Object.keys(de.steps)).toEqual(Object.keys(en.steps));
  });
});

describe("the status page at home", () => {
  let running: RunningSignUp;
  beforeAll(async () => {
    running = await runSignUp();
  });
  afterAll(() => running[Symbol.asyncDispose]());

  const facts: StatusFacts = {
    ...{ isReady: true, isHealthy: true, findings: [], domain, signUp: "open", units: 12 },
    addresses: ["192.168.1.5"],
  };
  const canary: CanaryVerdict = {
    ...{ time: Math.floor(Date.now() / 1000) - 120, ok: true, works: true },
    steps: [{ name: "delivery", ok: true, seconds: 0.25, detail: "seen", mend: null }],
  };
  const show = async (change: Partial<StatusFacts> = {}, seen = canary) => {
    await writeFile(join(running.folder, "status.json"), JSON.stringify({ ...facts, ...change }));
    await writeFile(join(running.folder, "verdict.json"), JSON.stringify(seen));
  };
  beforeEach(() => show());

  type Reply = Readonly<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }>;
  const ask = (path: string, headers: Record<string, string> = {}, pin?: string) =>
    new Promise<Reply>((resolve, reject) => {
      const call = request(
        {
          ...{ host: "127.0.0.1", port: running.httpPort, path, method: pin === undefined ? "GET" : "POST" },
          headers: { host: "homing.local", ...headers },
        },
        async (response) => {
          let text = "";
          for await (const piece of response) text += piece;
          resolve({ status: response.statusCode!, headers: response.headers, text });
        },
      );
      call.on("error", reject);
      call.end(pin === undefined ? undefined : String(new URLSearchParams({ pin })));
    });
  const enter = (pin: string, headers: Record<string, string> = { origin: "http://homing.local" }) =>
    ask("/invite", headers, pin);

  it("says in the reader's language that all is well, and is kept by nobody", async () => {
    const { status, headers, text } = await ask("/");
    expect(status).toBe(200);
    expect(text).toContain("<h1>Your relay works</h1>");
    expect(text).toContain("2 min ago it sent itself a message: 0.25 s.");
    expect(headers["cache-control"]).toBe("no-store");
    expect(headers["access-control-allow-origin"]).toBeUndefined();
    expect(headers["content-security-policy"]).toMatch(/form-action 'self'.*frame-ancestors 'none'/);
    expect((await ask("/", { "accept-language": "de-AT,de;q=0.9" })).text).toContain(
      "<h1>Dein Relay läuft</h1>",
    );
    expect((await ask("/style.css")).status).toBe(200);
  });

  it("says what is wrong and how to mend it, whatever others wrote into that", async () => {
    const findings = [
      { about: "canary dns", lines: ["canary: mail goes to <script>alert(1)</script>"] },
      { about: "unit homing-milter.service", lines: ["homing-milter.service (mail policy) is failed"] },
    ];
    await show({ isHealthy: false, findings });
    const { text } = await ask("/", { "accept-language": "de" });
    expect(text).toContain("<h1>Dein Relay braucht dich</h1>");
    expect(text).toContain("<h2>Dein DNS führt nicht hierher</h2>");
    expect(text).toContain("<h2>Ein Teil davon läuft nicht</h2>");
    expect(text).not.toContain("<script>");
  });

  it.each([[[]], [[{ ...canary.steps[0]!, ok: false }]]])(
    "says that no message came when the relay could not send itself one",
    async (steps) => {
      await show({ isHealthy: false }, { ...canary, ok: false, works: false, steps });
      const { text } = await ask("/");
      expect(text).toContain("2 min ago it could not send itself a message.");
      expect(text).not.toContain("sent itself a message:");
    },
  );

  it("praises nothing that a canary saw which does not come any more", async () => {
    const findings = [{ about: "canary-old", lines: ["the canary has told nothing for half an hour"] }];
    await show({ isHealthy: false, findings });
    const { text } = await ask("/");
    expect(text).toContain("<h2>It does not test itself any more</h2>");
    expect(text).not.toContain("What works");
  });

  it("is shown all the same when what the relay saw is a link to something else, or no verdict", async () => {
    const path = join(running.folder, "verdict.json");
    await writeFile(path, '{"steps":[{"name":"x"}]}');
    expect((await ask("/")).text).toContain("has not tried to send a message yet");
    await rm(path);
    await symlink(join(running.folder, "secret"), path);
    const { status, text } = await ask("/");
    expect(status).toBe(200);
    expect(text).toContain("has not tried to send a message yet");
    await rm(path);
  });

  it("is nothing for other names, which are led to the relay as ever", async () => {
    const { status, headers } = await ask("/", { host: "evil.example" });
    expect(status).toBe(307);
    expect(headers.location).toBe(`https://${domain}/`);
  });

  it("shows an invitation to whoever knows the PIN, and it is good for one account", async () => {
    await running.control("PUT", "/sign-up", { mode: "invite" });
    const { status, text } = await enter("0123 4567");
    expect(status).toBe(200);
    expect(text).toContain('<svg class="qr-code"');
    const token = /\/i\/([\w-]{24})"/.exec(text)?.[1];
    expect(token).toBeDefined();
    const { invites } = await running.control("GET", "/invites");
    expect(invites).toMatchObject([{ uses: 1, usesLeft: 1, note: "from the status page at home" }]);
    await running.control("PUT", "/sign-up", { mode: "open" });
    expect((await enter(homePin)).text).toContain(`dcaccount:https://${domain}/new`);
    await running.control("PUT", "/sign-up", { mode: "closed" });
    expect((await enter(homePin)).text).toContain("Sign-up is closed");
  });

  it.each<[string, Record<string, string>]>([
    ["another site", { origin: "http://evil.example" }],
    ["a page without an origin", { origin: "null" }],
    ["a program that names none", {}],
    ["the relay's public pages", { origin: `https://${domain}` }],
  ])("takes no PIN from %s", async (_who, headers) => {
    expect((await enter(homePin, headers)).status).toBe(403);
  });

  it("does not call the right PIN wrong when there are too many invitations", async () => {
    const home = createHomeSite({
      ...{ domain, pages: {}, log: createLog(() => {}) },
      facts: join(running.folder, "status.json"),
      canary: join(running.folder, "verdict.json"),
      accounts: {
        homeInvitation: async () => ({ result: "refused", status: 429, reason: "too-many" }),
      },
    });
    const origin = "http://homing.local";
    const answer = await home.routes.get("/invite")!.POST!({
      ...headOf("192.168.1.20", "homing.local"),
      headers: { get: (name) => (name === "origin" ? origin : undefined), all: () => [origin] },
      parameter: "",
      body: Readable.from([Buffer.from(`pin=${homePin}`)]),
    });
    expect(answer.status).toBe(429);
    expect(answer.body).toContain(homeWords.en!.listFull);
    expect(answer.body).not.toContain(homeWords.en!.wrongPin);
  });

  it("lets nobody guess the PIN, and then not even who knows it", async () => {
    await running.stopAuth();
    await running.startAuth();
    for (let i = 0; i < 10; i++) expect((await enter(String(10_000_000 + i))).status).toBe(403);
    const { status, text } = await enter(homePin);
    expect(status).toBe(429);
    expect(text).toMatch(/Too many wrong PINs\. Try again in \d min\./);
    expect((await ask("/")).status).toBe(200);
  });
});
