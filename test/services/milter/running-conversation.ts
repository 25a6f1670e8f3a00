/** The milter's side of a connection on a real unix socket, and a client of it. Used by conversation*.test.ts. */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { type Counters, createCounters } from "../../../services/lib/counters.ts";
import { createLog } from "../../../services/lib/log.ts";
import { type RunningConnection, serveConnection } from "../../../services/milter/connection.ts";
import { createVerdictCounts } from "../../../services/milter/counts.ts";
import type { MessageHandler } from "../../../services/milter/message.ts";
import { createRateLimit } from "../../../services/milter/rate-limit.ts";
import { createRules } from "../../../services/milter/rules.ts";
import { makeSigningKey, type SigningKey } from "../../support/mail.ts";
import { connectMilter, type MilterClient } from "./milter-client.ts";

export const alice = "alice1234@a.test";
export const bob = "bobby1234@b.test";
export const ours = makeSigningKey("a.test", "homing1");
export const theirs = makeSigningKey("b.test", "homing1");

function dkimRecord({ privateKeyPem }: SigningKey): string {
  const key = createPublicKey(privateKeyPem).export({ type: "spki", format: "der" });
  return `v=DKIM1;k=rsa;p=${key.toString("base64")};s=email;t=s`;
}

/** Answers like a name server that knows both relays; `down.test` never answers. */
export async function resolveTxt(name: string): Promise<string[][]> {
  const domains = new Map(
    [ours, theirs].map((key) => [`${key.selector}._domainkey.${key.domain}`, dkimRecord(key)]),
  );
  const record = domains.get(name);
  if (record !== undefined) return [[record]];
  const code = name.endsWith("down.test") ? "ETIMEOUT" : "ENOTFOUND";
  throw Object.assign(new Error(`query of ${name}: ${code}`), { code });
}

export type MilterPlace = {
  path: string;
  log: string[];
  /** What it counts; nothing of it is written. */
  counters: Counters;
  /** In the milter's time. */
  clock: number;
  sessions: RunningConnection[];
  /** Connected before each test; one that connects otherwise lets this one quit. */
  milter: MilterClient;
  submit(
    text: string | Buffer,
    overrides?: Partial<{ from: string; to: string[]; login: string }>,
  ): Promise<string>;
  receive(text: string | Buffer, from?: string): Promise<string>;
};

/** A new one for each test of the describe block that calls it. */
export function useMilter(): MilterPlace {
  let folder: string;
  let server: Server;
  const at = {
    submit: (text, overrides = {}) =>
      at.milter.message({ from: `<${alice}>`, to: [`<${bob}>`], login: alice, text, ...overrides }),
    receive: (text, from = `<${bob}>`) => at.milter.message({ from, to: [`<${alice}>`], text }),
  } as Pick<MilterPlace, "submit" | "receive"> as MilterPlace;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-milter-"));
    at.path = join(folder, "milter.sock");
    at.log = [];
    at.clock = 0;
    at.sessions = [];
    const daemons = createRules({
      key: () => ({
        domain: ours.domain,
        selector: ours.selector,
        key: createPrivateKey(ours.privateKeyPem),
      }),
      rateLimit: createRateLimit({ perMinute: 60, burst: 3 }),
      resolveTxt,
      now: () => at.clock,
    });
    const failing: MessageHandler = {
      recipient() {},
      header() {},
      endOfHeader: () => "more",
      body() {
        throw new Error("a bug");
      },
      end: () => Promise.reject(new Error("never reached")),
    };
    const all = new Map([...daemons, ["failing", () => failing] as const]);
    const log = createLog((line) => at.log.push(line), false);
    at.counters = createCounters({ path: join(folder, "milter.prom"), log });
    const counts = createVerdictCounts(at.counters, new Set(all.keys()));
    const options = { daemons: all, counts, log };
    server = createServer((socket) => at.sessions.push(serveConnection(socket, options)));
    server.listen(at.path);
    await once(server, "listening");
    at.milter = await connectMilter(at.path);
  });
  afterEach(async () => {
    await at.milter.quit();
    await Promise.all(at.sessions.map(({ done }) => done));
    server.close();
    await once(server, "close");
    await rm(folder, { recursive: true });
  });

  return at;
}
