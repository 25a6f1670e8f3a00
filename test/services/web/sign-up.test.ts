/** Getting an account over HTTPS: the web service and the account service together, as apps and browsers see them. */
import { once } from "node:events";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { connect as tlsConnect } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { solvePuzzle } from "../auth/solve-puzzle.ts";
import { domain, proxyHeaderOf, type RunningSignUp, runSignUp } from "./running-sign-up.ts";

type Answer = Readonly<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }>;

describe("sign-up on the web", () => {
  let running: RunningSignUp;
  beforeAll(async () => {
    running = await runSignUp();
  });
  afterAll(() => running[Symbol.asyncDispose]());
  beforeEach(async () => {
    await running.stopAuth();
    await running.startAuth();
    await running.control("PUT", "/sign-up", { mode: "open" });
  });

  /** A request as services/mux hands it over, from 192.0.2.`client`. */
  const ask = async (
    line: string,
    options: { language?: string; client?: number; site?: string; body?: string } = {},
  ): Promise<Answer> => {
    const [method, path] = line.split(" ");
    const raw = connect(running.webSocket);
    raw.write(proxyHeaderOf(options.client ?? 7));
    const socket = tlsConnect({ socket: raw, servername: domain, rejectUnauthorized: false });
    const agent = Object.assign(new Agent(), { createConnection: () => socket });
    const { language = "en", site, body = "" } = options;
    const headers = {
      host: domain,
      "accept-language": language,
      connection: "close",
      ...(site !== undefined && { "sec-fetch-site": site }),
      ...(body !== "" && { "content-length": String(body.length) }),
    };
    const call = request({ method, path, headers, agent });
    call.end(body);
    const [response] = await once(call, "response");
    let text = "";
    for await (const piece of response) text += piece;
    return { status: response.statusCode, headers: response.headers, text };
  };
  const invitation = async (): Promise<string> =>
    String((await running.control("POST", "/invites", { uses: "1", note: "" })).token);
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
    await running.control("PUT", "/sign-up", { mode: "invite" });
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
    const made = await ask(`POST /new?t=${token}`);
    expect(made.status).toBe(200);
    const spent = await ask(`POST /new?t=${token}`, { client: 9, language: "de-CH, de;q=0.8" });
    expect(spent.status).toBe(410);
    expect(JSON.parse(spent.text)).toEqual({
      reason: "Diese Einladung wurde schon benutzt. Bitte um eine neue.",
    });
    const page = await ask(`GET /i/${token}`, { client: 9 });
    expect(page.status).toBe(410);
    expect(page.text).toContain("This invitation was used already");
    expect(page.text).not.toContain("dcaccount:");
    // Who made it may not have heard of it, and is shown it again after some seconds.
    const again = async () => (await ask(`GET /i/${token}`)).status;
    await expect.poll(again, { timeout: 20_000, interval: 500 }).toBe(200);
    expect(JSON.parse((await ask(`POST /new?t=${token}`)).text).email).toBe(JSON.parse(made.text).email);
  });

  it("says why not: nobody, no invitation, an unknown one", async () => {
    await running.control("PUT", "/sign-up", { mode: "invite" });
    const reasonOf = ({ status, text }: Answer) => [status, JSON.parse(text).reason];
    expect(reasonOf(await ask("POST /new"))).toEqual([403, expect.stringContaining("by invitation only")]);
    for (const token of ["x", "%00", "a".repeat(24), "a".repeat(1_500), "..%2F..%2Fetc", "%F0%9F%90%B4"]) {
      expect((await ask(`GET /i/${token}`)).status, token).toBe(404);
      const { status } = await ask(`POST /new?t=${token}`);
      // What is longer than any token counts as none.
      expect([403], token).toContain(status);
    }
    expect((await ask("GET /new")).status).toBe(403);
    await running.control("PUT", "/sign-up", { mode: "closed" });
    expect(reasonOf(await ask("POST /new"))).toEqual([403, expect.stringContaining("no new profiles")]);
    expect((await ask(`GET /i/${await invitation()}`)).status).toBe(403);
    expect((await ask("GET /new")).text).toContain("no new profiles");
  });

  it("shows on the home page at once what the operator chose", async () => {
    await expect.poll(async () => (await ask("GET /")).text).toContain("dcaccount:");
    await running.control("PUT", "/sign-up", { mode: "closed" });
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
    await running.control("PUT", "/sign-up", { mode: "invite" });
    expect((await ask(`POST /new?t=${await invitation()}`)).status).toBe(200);
  });

  it("says that it does not work just now while the account service is away, and goes on afterwards", async () => {
    await running.stopAuth();
    try {
      const app = await ask("POST /new", { language: "de" });
      expect(app.status).toBe(503);
      expect(app.headers["retry-after"]).toBe("30");
      expect(JSON.parse(app.text).reason).toContain("gerade kein Profil anlegen");
      expect((await ask("GET /new")).status).toBe(503);
      expect((await ask("GET /i/abc")).status).toBe(503);
      expect((await ask("GET /")).status).toBe(200);
    } finally {
      await running.startAuth();
    }
    expect((await ask("POST /new")).status).toBe(200);
  });

  it("makes nothing for pages of other sites", async () => {
    for (const site of ["cross-site", "same-site"])
      expect((await ask("POST /new", { site })).status, site).toBe(403);
    for (const site of ["same-origin", "none"])
      expect((await ask("POST /new", { site })).status, site).toBe(200);
  });

  it("takes no body and no other method", async () => {
    const tooLarge = await ask("POST /new", { body: "x" });
    expect([tooLarge.status, tooLarge.text]).toEqual([413, "no body is taken here\n"]);
    expect((await ask("PUT /new")).status).toBe(405);
    expect((await ask("POST /i/abc")).status).toBe(405);
  });
});
