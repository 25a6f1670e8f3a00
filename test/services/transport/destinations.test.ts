/** What is remembered of the ways to other relays. */
import { describe, expect, it } from "vitest";
import { createDestinations } from "../../../services/transport/destinations.ts";

/** In numbers, not by the names that the service has for them: a minute without a failure, then half an hour. */
const SMTP_FAILS_WITHIN_MS = 60_000;
const SMTP_CHOICE_MS = 30 * 60_000;

function destinations() {
  let now = 0;
  const made = createDestinations(() => now);
  return {
    ...made,
    pass: (milliseconds: number) => {
      now += milliseconds;
    },
  };
}

describe("the way to a domain", () => {
  it("is HTTPS until SMTP is known to work, then SMTP for half an hour, then HTTPS again", () => {
    const ways = destinations();
    expect(ways.choice("b.example")).toBe("https");
    ways.leftToSmtp("b.example");
    ways.pass(SMTP_FAILS_WITHIN_MS - 1);
    expect(ways.choice("b.example")).toBe("https");
    ways.pass(1);
    expect(ways.choice("b.example")).toBe("smtp");
    expect(ways.choice("c.example")).toBe("https");
    ways.pass(SMTP_CHOICE_MS - 1);
    expect(ways.choice("b.example")).toBe("smtp");
    ways.pass(1);
    expect(ways.choice("b.example")).toBe("https");
  });

  it("is not SMTP when Postfix came back with a message", () => {
    const ways = destinations();
    ways.leftToSmtp("b.example");
    ways.smtpFailed("b.example");
    ways.pass(SMTP_FAILS_WITHIN_MS);
    expect(ways.choice("b.example")).toBe("https");
  });

  it("counts from the first message that was left to SMTP, or a lively conversation would never choose", () => {
    const ways = destinations();
    for (let i = 0; i < 3; i++) {
      ways.leftToSmtp("b.example");
      ways.pass(SMTP_FAILS_WITHIN_MS / 2);
    }
    expect(ways.choice("b.example")).toBe("smtp");
    ways.pass(SMTP_CHOICE_MS);
    // The half hour is over: the next one that is left to SMTP begins another.
    ways.leftToSmtp("b.example");
    expect(ways.choice("b.example")).toBe("https");
    ways.pass(SMTP_FAILS_WITHIN_MS);
    expect(ways.choice("b.example")).toBe("smtp");
  });

  it("is HTTPS at once when it worked", () => {
    const ways = destinations();
    ways.leftToSmtp("b.example");
    ways.pass(SMTP_FAILS_WITHIN_MS);
    ways.httpsWorked("b.example");
    expect(ways.choice("b.example")).toBe("https");
    ways.pass(SMTP_CHOICE_MS - 1);
    expect(ways.isKnownByHttps("b.example")).toBe(true);
    ways.pass(1);
    expect(ways.isKnownByHttps("b.example")).toBe(false);
    ways.httpsWorked("b.example");
    expect(ways.isKnownByHttps("b.example")).toBe(true);
    ways.httpsFailed("b.example");
    expect(ways.isKnownByHttps("b.example")).toBe(false);
  });

  it("is SMTP for large messages for half an hour after one that broke off", () => {
    const ways = destinations();
    ways.largeFailed("b.example");
    ways.pass(SMTP_CHOICE_MS - 1);
    expect(ways.takesLarge("b.example")).toBe(false);
    ways.pass(1);
    expect(ways.takesLarge("b.example")).toBe(true);
  });

  it("is known again after a restart", () => {
    const before = destinations();
    before.httpsWorked("b.example");
    before.leftToSmtp("c.example");
    before.leftToSmtp("d.example");
    before.smtpFailed("d.example");
    before.pass(SMTP_FAILS_WITHIN_MS);
    const known = new Map([
      ["b.example", "https"],
      ["c.example", "smtp"],
    ] as const);
    expect(before.knownWays()).toEqual(known);
    const after = destinations();
    after.restore(before.knownWays());
    expect(after.knownWays()).toEqual(known);
    expect(after.choice("c.example")).toBe("smtp");
    after.pass(SMTP_CHOICE_MS);
    expect(after.knownWays().size).toBe(0);
  });

  it("is forgotten when thousands of others came later", () => {
    const ways = destinations();
    ways.leftToSmtp("b.example");
    ways.pass(SMTP_FAILS_WITHIN_MS);
    for (let i = 0; i < 5000; i++) ways.leftToSmtp(`${i}.example`);
    expect(ways.choice("b.example")).toBe("https");
  });

  it("of a relay is not forgotten for others that are none", () => {
    const ways = destinations();
    ways.httpsWorked("old.example");
    ways.pass(SMTP_CHOICE_MS - 1);
    ways.httpsWorked("b.example");
    ways.pass(1);
    for (let i = 0; i < 10_000; i++) {
      ways.leftToSmtp(`${i}.example`);
      ways.httpsFailed(`x${i}.example`);
      ways.smtpFailed(`y${i}.example`);
    }
    expect(ways.isKnownByHttps("b.example")).toBe(true);
    for (let i = 0; i < 4999; i++) ways.httpsWorked(`r${i}.example`);
    expect(ways.isKnownByHttps("b.example")).toBe(true);
    ways.httpsWorked("last.example");
    expect(ways.isKnownByHttps("b.example")).toBe(false);
  });

  it("has both ways while large messages need SMTP and small ones go by HTTPS", () => {
    const ways = destinations();
    ways.httpsWorked("b.example");
    ways.largeFailed("b.example");
    ways.leftToSmtp("b.example");
    ways.pass(SMTP_FAILS_WITHIN_MS);
    ways.httpsWorked("c.example");
    expect(ways.knownWays()).toEqual(new Map([["c.example", "https"]]));
    expect(ways.choice("b.example")).toBe("https");
    ways.pass(SMTP_CHOICE_MS - SMTP_FAILS_WITHIN_MS);
    ways.httpsWorked("b.example");
    expect(ways.knownWays().get("b.example")).toBe("https");
  });
});
