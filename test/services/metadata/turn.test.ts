import { createHmac } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import type { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createLog } from "../../../services/lib/log.ts";
import { findAddresses } from "../../../services/metadata/addresses.ts";
import { answersStun } from "../../../services/metadata/stun.ts";
import { announceTurn, type Turn } from "../../../services/metadata/turn.ts";

const now = 1_800_000_000;
let server: Socket;
let port: number;
/** What the server says to a request. */
let answer: (request: Buffer) => Buffer[];
const success = (request: Buffer): Buffer => {
  const reply = Buffer.from(request.subarray(0, 20));
  reply.writeUInt16BE(0x0101, 0);
  return reply;
};

beforeEach(async () => {
  answer = (request) => [success(request)];
  server = createSocket("udp4", (request, { port: to, address }) => {
    for (const reply of answer(request)) server.send(reply, to, address);
  });
  server.bind(0, "127.0.0.1");
  await once(server, "listening");
  port = server.address().port;
});
afterEach(() => void server.close());

it("takes nothing but an answer to its own question for one", async () => {
  expect(await answersStun("127.0.0.1", port)).toBe(true);
  let asked = 0;
  answer = (request) => {
    asked += 1;
    if (asked > 1) return [success(request)];
    const forAnother = success(request);
    forAnother.writeUInt8(forAnother.readUInt8(19) ^ 1, 19);
    const error = success(request);
    error.writeUInt16BE(0x0111, 0);
    return [forAnother, error, request, success(request).subarray(0, 19), Buffer.alloc(0)];
  };
  expect(await answersStun("127.0.0.1", port)).toBe(true);
  expect(asked).toBe(2);
});

it("knows at once that nobody is there", async () => {
  const closed = createSocket("udp4");
  closed.bind(0, "127.0.0.1");
  await once(closed, "listening");
  const { port: free } = closed.address();
  closed.close();
  await once(closed, "close");
  expect(await answersStun("127.0.0.1", free)).toBe(false);
});

it("tells clients of a server that answers at one of the relay's addresses, and of none that does not", async () => {
  const lines: string[] = [];
  let addresses: string[] = [];
  let secrets: string[] = [];
  const turn: Turn = announceTurn({
    ...{ domain: "_a.test", port, answersStun, now: () => now, lookEveryMs: 20, tell: () => {} },
    readSecret: async () => {
      if (secrets[0] === undefined) throw new Error("there is no secret");
      return secrets[0];
    },
    resolve: async () => addresses,
    log: createLog((line) => void lines.push(line)),
  });
  await expect.poll(() => lines.length).toBe(2);
  expect(lines[0]).toContain("there is no secret");
  const value = () => turn.value("abc@_a.test");
  expect(value()).toBeUndefined();
  addresses = ["127.0.0.1"];
  secrets = ["secret"];
  await expect.poll(value).toBeDefined();
  // As the core reads it: host, port, end, password, parted by colons.
  const [host, at, end, password, ...rest] = value()!.split(":");
  expect([host, Number(at), rest]).toEqual(["_a.test", port, []]);
  expect(end).toMatch(/^\d+$/);
  expect(password).toBe(createHmac("sha1", "secret").update(end!).digest("base64"));
  addresses = [];
  await expect.poll(value).toBeUndefined();
  turn.stop();
});

it("gives an account one name at a time, for at least two days, and others other ones", async () => {
  let time = now;
  const turn: Turn = announceTurn({
    ...{ domain: "_a.test", port, answersStun, now: () => time, lookEveryMs: 20, tell: () => {} },
    readSecret: async () => "secret",
    resolve: async () => ["127.0.0.1"],
    log: createLog(() => {}),
  });
  const nameOf = (account: string) => Number(turn.value(account)?.split(":")[2]);
  await expect.poll(() => nameOf("abc@_a.test")).toBeGreaterThan(0);
  const names: number[] = [];
  const day = 86_400;
  for (; time < now + day; time += 300) {
    const end = nameOf("abc@_a.test");
    expect(end - time).toBeGreaterThanOrEqual(2 * day);
    expect(end - time).toBeLessThan(2.5 * day);
    if (!names.includes(end)) names.push(end);
  }
  // However often it asks: a day has three of them at most, half a day apart.
  expect(names.slice(1).map((end, i) => end - names[i]!)).toEqual(names.slice(1).map(() => day / 2));
  const accounts = Array.from({ length: 20 }, (_, i) => `account${i}@_a.test`);
  expect(new Set(accounts.map(nameOf)).size).toBe(20);
  turn.stop();
});

it("wants an answer by each family, for the machine's own IPv6 address says nothing of IPv4", async () => {
  const told: (string | undefined)[] = [];
  let answering = ["2001:db8::5"];
  const turn = announceTurn({
    ...{ domain: "_a.test", port: 3478, now: () => now, lookEveryMs: 5, longSilenceMs: 0 },
    answersStun: async (address) => answering.includes(address),
    readSecret: async () => "secret",
    resolve: async () => ["192.0.2.5", "2001:db8::5", "192.0.2.6"],
    tell: (problem) => void told.push(problem),
    log: createLog(() => {}),
  });
  await expect.poll(() => told).toEqual(["nothing answers at 192.0.2.5, 192.0.2.6, UDP port 3478"]);
  expect(turn.value("abc@_a.test")).toBeUndefined();
  answering = ["2001:db8::5", "192.0.2.6"];
  await expect.poll(() => turn.value("abc@_a.test")).toBeDefined();
  turn.stop();
});

it("takes nobody's word for a family of which the DNS could not say anything, and goes by what it said before", async () => {
  const failed = async (code: string): Promise<string[]> => {
    throw Object.assign(new Error(code), { code });
  };
  let ipv4 = () => failed("ETIMEOUT");
  let asked = 0;
  const answering = ["2001:db8::5"];
  const turn = announceTurn({
    ...{ domain: "_a.test", port: 3478, now: () => now, lookEveryMs: 5, tell: () => {} },
    answersStun: async (address) => answering.includes(address),
    readSecret: async () => "secret",
    resolve: (domain) => {
      asked += 1;
      const resolver = { resolve4: () => ipv4(), resolve6: async () => ["2001:db8::5"] };
      return findAddresses(domain, resolver as unknown as Resolver);
    },
    log: createLog(() => {}),
  });
  const value = () => turn.value("abc@_a.test");
  const lookTwice = async () => {
    const before = asked;
    await expect.poll(() => asked, { timeout: 5_000 }).toBeGreaterThan(before + 2);
  };
  await lookTwice();
  expect(value()).toBeUndefined();
  ipv4 = async () => ["192.0.2.5"];
  answering.push("192.0.2.5");
  await expect.poll(value).toBeDefined();
  ipv4 = () => failed("ESERVFAIL");
  await lookTwice();
  expect(value()).toBeDefined();
  answering.pop();
  await expect.poll(value).toBeUndefined();
  ipv4 = () => failed("ENODATA");
  await expect.poll(value).toBeDefined();
  turn.stop();
});

it("tells why no client hears of it, not before a long silence, and when that is over", async () => {
  const told: (string | undefined)[] = [];
  let addresses: string[] = [];
  let answers = false;
  const announce = (longSilenceMs?: number) =>
    announceTurn({
      ...{ domain: "_a.test", port, now: () => now, lookEveryMs: 5, longSilenceMs },
      ...{ answersStun: async () => answers, readSecret: async () => "secret" },
      resolve: async () => addresses,
      tell: (problem) => void told.push(problem),
      log: createLog(() => {}),
    });
  const turn = announce(30);
  await expect.poll(() => told).toEqual([undefined, "the DNS has no address of _a.test"]);
  answers = true;
  addresses = ["127.0.0.1"];
  await expect.poll(() => told.slice(2)).toEqual([undefined]);
  answers = false;
  await expect.poll(() => told.slice(3)).toEqual([`nothing answers at 127.0.0.1, UDP port ${port}`]);
  turn.stop();
  told.length = 0;
  const patient = announce();
  await expect.poll(() => told).toEqual([undefined]);
  patient.stop();
});
