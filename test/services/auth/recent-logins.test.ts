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
});
