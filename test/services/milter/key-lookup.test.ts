/** The look-up of DKIM keys: what it asks, what it keeps, and what strangers can and cannot make of it. */
import { describe, expect, it } from "vitest";
import {
  createKeyLookup,
  type KeyAnswer,
  lookupLimits,
  type TxtResolver,
} from "../../../services/milter/key-lookup.ts";
import { dnsError, keyRecord, nameServer, rsaKey } from "./dkim-message.ts";

const record = keyRecord(rsaKey(1024));
const records = { "s1._domainkey.b.test": [record] };

/** Addresses of networks that differ. */
const bob = "192.0.2.1";
const eve = "198.51.100.66";
const crowd = (number: number) => `2001:db8:0:${number.toString(16)}::1`;

function lookUp(resolveTxt: TxtResolver, clock = { now: 0 }) {
  const look = createKeyLookup({ resolveTxt, now: () => clock.now });
  return (name: string, domain: string, client: string | null = bob) => look(name, domain, client);
}

/** A name server that answers when it is told to. */
function holdingServer() {
  const held: (() => void)[] = [];
  const resolveTxt: TxtResolver = () => new Promise((resolve) => held.push(() => resolve([[record]])));
  const release = () => {
    for (const answer of held.splice(0)) answer();
  };
  return { held, resolveTxt, release };
}

const countOf = (answers: readonly KeyAnswer[], kind: KeyAnswer["kind"]) =>
  answers.filter((answer) => answer.kind === kind).length;

describe("the look-up of keys", () => {
  it("asks once while an answer is fresh, and again when it is not", async () => {
    const clock = { now: 0 };
    const { asked, resolveTxt } = nameServer(records);
    const look = lookUp(resolveTxt, clock);
    for (const [time, questions] of [
      [0, 1],
      [lookupLimits.keptMs.key - 1, 1],
      [lookupLimits.keptMs.key, 2],
    ] as const) {
      clock.now = time;
      expect(await look("s1", "b.test")).toMatchObject({ kind: "key" });
      expect(asked).toHaveLength(questions);
    }
  });

  it("lets equal questions wait for one answer, whoever has them", async () => {
    const { asked, resolveTxt } = nameServer(records);
    const look = lookUp(resolveTxt);
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, number) => look("s1", "b.test", crowd(number))),
    );
    expect(countOf(answers, "key")).toBe(100);
    expect(asked).toHaveLength(1);
  });

  it("does not ask for a name that is too long to be one", async () => {
    const { asked, resolveTxt } = nameServer(records);
    const long = `${"a".repeat(60)}.`.repeat(4);
    expect(await lookUp(resolveTxt)("s1", `${long}test`)).toMatchObject({ kind: "none" });
    expect(asked).toEqual([]);
  });
});

describe("made-up selectors of a domain", () => {
  const { burst } = lookupLimits.unknownNames;

  it("are asked for a few times for one network, however many addresses it has", async () => {
    const { asked, resolveTxt } = nameServer(records);
    const look = lookUp(resolveTxt);
    const answers: KeyAnswer[] = [];
    for (let number = 0; number < 5000; number++) {
      answers.push(await look(`x${number}`, "b.test", `2001:db8::${number.toString(16)}`));
    }
    expect(countOf(answers, "none")).toBe(burst);
    expect(answers.at(-1)).toMatchObject({ kind: "unavailable" });
    expect(asked).toHaveLength(burst);
  });

  it("do not keep its real one from being asked for, for the first time and in the midst of them", async () => {
    const { resolveTxt } = nameServer(records);
    const look = lookUp(resolveTxt);
    for (let number = 0; number < 5000; number++) {
      await look(`x${number}`, "b.test", eve);
      await look(`x${number}`, "b.test", crowd(number));
    }
    expect(await look("s0", "b.test", eve)).toMatchObject({ kind: "unavailable" });
    expect(await look("s1", "b.test", bob)).toMatchObject({ kind: "key" });
  });

  it("do not keep out its real one that was known, even for their own network", async () => {
    const clock = { now: 0 };
    const { resolveTxt } = nameServer(records);
    const look = lookUp(resolveTxt, clock);
    await look("s1", "b.test", eve);
    for (const minute of [1, 2, 3]) {
      clock.now = minute * lookupLimits.keptMs.key;
      for (let number = 0; number < 100; number++) await look(`x${minute}-${number}`, "b.test", eve);
      expect(await look("s1", "b.test", eve)).toMatchObject({ kind: "key" });
    }
  });

  it("keep out neither those of another domain nor what its server could not say for a while", async () => {
    const clock = { now: 0 };
    const answers: Record<string, string[] | Error> = { ...records };
    const look = lookUp((name) => nameServer(answers).resolveTxt(name), clock);
    await look("s1", "b.test");
    clock.now += lookupLimits.keptMs.key;
    answers["s1._domainkey.b.test"] = dnsError("ESERVFAIL");
    for (let number = 0; number < 50; number++) await look(`x${number}`, "b.test");
    expect(await look("s1", "b.test")).toMatchObject({ kind: "unavailable", detail: "DNS: ESERVFAIL" });
    expect(await look("s1", "c.test")).toMatchObject({ kind: "none" });
    clock.now += lookupLimits.keptMs.unavailable;
    for (let number = 50; number < 99; number++) await look(`x${number}`, "b.test");
    answers["s1._domainkey.b.test"] = [record];
    expect(await look("s1", "b.test")).toMatchObject({ kind: "key" });
  });
});

describe("questions under way", () => {
  const { concurrent, concurrentPerNetwork, reserved } = lookupLimits;

  it("are bounded for each network, and the others ask on", async () => {
    const { held, resolveTxt, release } = holdingServer();
    const look = lookUp(resolveTxt);
    const many = 2 * concurrent;
    const flood = Array.from({ length: many }, (_, number) => look("s1", `d${number}.test`, eve));
    expect(held).toHaveLength(concurrentPerNetwork);
    const first = look("s1", "b.test", bob);
    release();
    expect(await first).toMatchObject({ kind: "key" });
    const answers = await Promise.all(flood);
    expect(countOf(answers, "key")).toBe(concurrentPerNetwork);
    expect(countOf(answers, "unavailable")).toBe(many - concurrentPerNetwork);
    // What is over counts no longer.
    const after = look("s1", "later.test", eve);
    release();
    expect(await after).toMatchObject({ kind: "key" });
  });

  it("are bounded for all, with places kept for who has none", async () => {
    const { held, resolveTxt, release } = holdingServer();
    const look = lookUp(resolveTxt);
    const networks = 2 * Math.ceil(concurrent / concurrentPerNetwork);
    const flood: Promise<KeyAnswer>[] = [];
    for (let number = 0; number < networks * concurrentPerNetwork; number++) {
      flood.push(look("s1", `d${number}.test`, crowd(number % networks)));
    }
    expect(held).toHaveLength(concurrent - reserved);
    const late = Array.from({ length: 2 * reserved }, (_, number) =>
      look("s1", `late${number}.test`, `203.0.113.${number}`),
    );
    expect(held).toHaveLength(concurrent);
    release();
    expect(countOf(await Promise.all(late), "key")).toBe(reserved);
    expect(countOf(await Promise.all(flood), "key")).toBe(concurrent - reserved);
  });
});

describe("what is kept", () => {
  const { withKey, withoutKey } = lookupLimits.entries;
  /** A domain with a key at each name that anybody can think of. */
  const endless = (asked: string[]): TxtResolver => {
    return async (name) => {
      asked.push(name);
      if (name.includes("none")) throw dnsError("ENOTFOUND");
      return [[record]];
    };
  };

  it("is no name with a key less for any number of names without", async () => {
    const asked: string[] = [];
    const look = lookUp(endless(asked));
    for (let number = 0; number < withKey; number++) await look("s1", `d${number}.test`, crowd(number));
    for (let number = 0; number < 2 * withoutKey; number++) await look("s1", `none${number}.test`, eve);
    asked.length = 0;
    for (let number = 0; number < withKey; number++) await look("s1", `d${number}.test`, crowd(number));
    expect(asked).toEqual([]);
    // Of those without a key the last ones are there.
    await look("s1", `none${withoutKey}.test`, eve);
    expect(asked).toEqual([]);
    await look("s1", `none${withoutKey - 1}.test`, eve);
    expect(asked).toHaveLength(1);
  });

  it("is not pushed out by one network with ever more keys, which loses its own", async () => {
    const asked: string[] = [];
    const look = lookUp(endless(asked));
    for (let number = 0; number < 500; number++) await look("s1", `d${number}.test`, crowd(number % 50));
    for (let number = 0; number < 2 * withKey; number++) await look("s1", `x${number}.evil.test`, eve);
    asked.length = 0;
    for (let number = 0; number < 500; number++) await look("s1", `d${number}.test`, crowd(number % 50));
    expect(asked).toEqual([]);
    await look("s1", `x${withKey}.evil.test`, eve);
    expect(asked).toHaveLength(1);
  });
});
