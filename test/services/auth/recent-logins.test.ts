import { describe, expect, it } from "vitest";
import { createRecentLogins } from "../../../services/auth/recent-logins.ts";

describe("recent logins", () => {
  it("knows a password only under the account and the stored hash it was right for", () => {
    const recent = createRecentLogins();
    const fingerprint = recent.fingerprint("a@x", "secret");
    recent.remember("a@x", "hash1", fingerprint);
    expect(recent.matches("a@x", "hash1", fingerprint)).toBe(true);
    expect(recent.matches("a@x", "hash2", fingerprint)).toBe(false);
    expect(recent.matches("b@x", "hash1", fingerprint)).toBe(false);
    expect(recent.matches("a@x", "hash1", recent.fingerprint("a@x", "Secret"))).toBe(false);
  });

  it("uses a key of its own in every process", () => {
    expect(createRecentLogins().fingerprint("a@x", "s")).not.toBe(
      createRecentLogins().fingerprint("a@x", "s"),
    );
  });

  it("stays bounded and drops whoever came longest ago", () => {
    const recent = createRecentLogins(3);
    const add = (name: string): void => recent.remember(name, "h", recent.fingerprint(name, "p"));
    for (const name of ["a", "b", "c"]) add(name);
    expect(recent.matches("a", "h", recent.fingerprint("a", "p"))).toBe(true);
    add("d");
    expect(recent.size()).toBe(3);
    expect(recent.matches("b", "h", recent.fingerprint("b", "p"))).toBe(false);
    expect(recent.matches("a", "h", recent.fingerprint("a", "p"))).toBe(true);
  });

  it("holds ten thousand unless told otherwise, however many log in", () => {
    const recent = createRecentLogins();
    const fingerprint = recent.fingerprint("anybody@x", "p");
    const name = (i: number): string => `user${i}@x`;
    for (let i = 0; i < 25_000; i++) {
      recent.remember(name(i), "h", fingerprint);
      if (i % 5_000 === 0) expect(recent.size()).toBeLessThanOrEqual(10_000);
    }
    expect(recent.size()).toBe(10_000);
    expect(recent.matches(name(14_999), "h", fingerprint)).toBe(false);
    expect(recent.matches(name(15_000), "h", fingerprint)).toBe(true);
  });
});
