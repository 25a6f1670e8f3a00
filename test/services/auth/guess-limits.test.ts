import { beforeEach, describe, expect, it } from "vitest";
import { createGuessLimits, type GuessLimits } from "../../../services/auth/guess-limits.ts";

const account = "abc123xyz@chat.example.org";
const minute = 60_000;
const day = 24 * 60 * minute;

describe("limits of guessing", () => {
  let now: number;
  let limits: GuessLimits;
  beforeEach(() => {
    now = 0;
    limits = createGuessLimits(() => now);
  });

  /** How many of `tries` wrong passwords are looked at. */
  const guess = (network: (i: number) => string, tries: number, address = account): number => {
    let admitted = 0;
    for (let i = 0; i < tries; i++) {
      const attempt = limits.admit(address, network(i));
      attempt?.wrong();
      if (attempt !== undefined) admitted += 1;
    }
    return admitted;
  };

  it("let a guesser try some passwords, then one a minute", () => {
    expect(guess(() => "192.0.2.1", 1_000)).toBe(11);
    now += 10 * minute;
    expect(guess(() => "192.0.2.1", 1_000)).toBe(10);
    let admitted = 0;
    for (const end = now + day; now < end; now += 1_000) admitted += guess(() => "192.0.2.1", 1);
    expect(admitted).toBeLessThanOrEqual(24 * 60 + 1);
  });

  it("let the owner in from an address of his own while a thousand addresses guess", () => {
    guess((i) => `10.0.${i % 10}.${Math.floor(i / 10)}`, 1_000);
    // The first time around the guessers use up what newcomers get, and it comes back to the owner alone.
    for (let second = 0; second < 7_200; second++) {
      now += 1_000;
      guess((i) => `10.0.${i % 10}.${(second + i) % 100}`, 100);
    }
    const attempt = limits.admit(account, "198.51.100.7");
    expect(attempt).toBeDefined();
    attempt?.right();
  });

  it("always let the owner in from where he logged in before, whoever guesses from elsewhere", () => {
    limits.welcome(account, "198.51.100.7");
    for (let i = 0; i < 100; i++) {
      guess((k) => `10.${i}.0.${k}`, 100);
      const attempt = limits.admit(account, "198.51.100.7");
      expect(attempt?.familiar).toBe(true);
      attempt?.right();
    }
  });

  it("let the owner in from the address of a guesser too (a carrier's NAT), when he was there before", () => {
    limits.welcome(account, "192.0.2.1");
    // The neighbour guesses at other people's accounts until the address has no tries left.
    for (let i = 0; i < 100; i++) guess(() => "192.0.2.1", 20, `user${i}@chat.example.org`);
    expect(limits.admit(account, "192.0.2.1")).toBeDefined();
    // And somebody who was never there still has the account's reserve.
    expect(limits.admit("other@chat.example.org", "192.0.2.1")).toBeDefined();
  });

  it("limit one address over all accounts", () => {
    let admitted = 0;
    for (let i = 0; i < 100; i++) admitted += guess(() => "192.0.2.1", 20, `user${i}@chat.example.org`);
    // One try each as a newcomer, and what an address has.
    expect(admitted).toBe(200);
  });

  it("limit guesses at one account over all addresses, also while all are newcomers", () => {
    expect(guess((i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 5_000)).toBe(20);
    now += 10 * minute;
    expect(guess((i) => `11.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, 5_000)).toBe(20);
  });

  it("cost nothing for a right password, and count tries that run at the same time", () => {
    for (let i = 0; i < 1_000; i++) {
      const attempt = limits.admit(account, "192.0.2.1");
      expect(attempt).toBeDefined();
      if (i % 2 === 0) attempt?.right();
      else attempt?.untried();
    }
    const atOnce = Array.from({ length: 100 }, () => limits.admit("b@chat.example.org", "192.0.2.1"));
    expect(atOnce.filter((attempt) => attempt !== undefined)).toHaveLength(11);
  });

  it("forgive after a day, and at once when the process starts anew", () => {
    guess(() => "192.0.2.1", 100);
    now += day + 1;
    expect(guess(() => "192.0.2.1", 1_000)).toBe(11);
    limits = createGuessLimits(() => now);
    expect(guess(() => "192.0.2.1", 1_000)).toBe(11);
  });
});
