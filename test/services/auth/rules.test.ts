import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseRelayConfig, type RelayConfig } from "../../../appliance/relay-config.ts";
import { availableMemory, readMachineState } from "../../../services/auth/machine.ts";
import {
  machineRefusal,
  normaliseAddress,
  refusalTexts,
  settingsRefusal,
} from "../../../services/auth/rules.ts";

const config = (more = ""): RelayConfig =>
  parseRelayConfig(`domain = "chat.example.org"\n${more}`, "relay.toml");
const password = "nine-char";

describe("normaliseAddress", () => {
  it.each([
    ["abc123xyz@chat.example.org", "abc123xyz@chat.example.org"],
    ["ABC123xyz@Chat.Example.ORG", "abc123xyz@chat.example.org"],
  ])("knows %s as %s", (user, address) => {
    expect(normaliseAddress(user, "chat.example.org")).toEqual({ address });
  });

  it.each([
    ["", "malformed-address"],
    ["abc123xyz", "malformed-address"],
    ["@chat.example.org", "malformed-address"],
    ["abc123xyz@", "malformed-address"],
    ["abc@xyz@chat.example.org", "malformed-address"],
    ["abc 23xyz@chat.example.org", "malformed-address"],
    ["abc\n23xyz@chat.example.org", "malformed-address"],
    ["abc\u000023xyz@chat.example.org", "malformed-address"],
    [`${"a".repeat(65)}@chat.example.org`, "malformed-address"],
    // The Kelvin sign's lower case is an ASCII k: it must not reach the account with the k.
    ["\u212aatherine@chat.example.org", "malformed-address"],
    // Cyrillic and full-width letters that look like ours, accents, a zero-width space, another at sign.
    ["\u0430bc123xyz@chat.example.org", "malformed-address"],
    ["\uff41bc123xyz@chat.example.org", "malformed-address"],
    ["\u00e4bc123xyz@chat.example.org", "malformed-address"],
    ["a\u0308bc123xyz@chat.example.org", "malformed-address"],
    ["abc\u200b123xyz@chat.example.org", "malformed-address"],
    ["abc123xyz\uff20chat.example.org", "malformed-address"],
    ["abc123xyz@ch\u0430t.example.org", "malformed-address"],
    ["abc123xyz\r\n@chat.example.org", "malformed-address"],
    [`${"a".repeat(100_000)}@chat.example.org`, "malformed-address"],
    ["abc123xyz@example.org", "foreign-domain"],
    ["abc123xyz@chat.example.org.", "foreign-domain"],
    ["abc123xyz@evil-chat.example.org", "foreign-domain"],
  ])("refuses %j as %s", (user, refusal) => {
    expect(normaliseAddress(user, "chat.example.org")).toEqual({ refusal });
  });

  it("takes a domain that begins with an underscore", () => {
    expect(normaliseAddress("abc123xyz@_A.test", "_a.test")).toEqual({ address: "abc123xyz@_a.test" });
  });

  it("gives either a refusal or an address that is plain, lower-case and stays what it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.constantFrom("", "@chat.example.org"), (text, end) => {
        const result = normaliseAddress(text + end, "chat.example.org");
        if ("refusal" in result) return;
        expect(result.address).toMatch(/^[\x21-\x3f\x41\x5b-\x7e]+@chat\.example\.org$/);
        expect(normaliseAddress(result.address, "chat.example.org")).toEqual(result);
      }),
      { numRuns: 500 },
    );
  });
});

describe("settingsRefusal", () => {
  it.each([
    ["abc123xyz", undefined],
    ["a.b-c_d.e", undefined],
    ["abc12xyz", "local-part-length"],
    ["abc1234xyz", "local-part-length"],
    ["abc+23xyz", "local-part-characters"],
    ["abc/23xyz", "local-part-characters"],
    ["abc%23xyz", "local-part-characters"],
    ["..........", "local-part-characters"],
    [".bc123xyz", "local-part-characters"],
    ["abc123xy.", "local-part-characters"],
    ["abc..3xyz", "local-part-characters"],
    ["webmaster", "reserved-name"],
    ["mail.er_da", "local-part-length"],
    ["-bc123xy-", undefined],
    ["_________", undefined],
    ["123456789", undefined],
    ["a.b.c.d.e", undefined],
    ["abc'23xyz", "local-part-characters"],
    ['"abc23xy"', "local-part-characters"],
    ["", "local-part-characters"],
    [".", "local-part-characters"],
  ])("judges the name %s: %s", (localPart, refusal) => {
    expect(settingsRefusal(`${localPart}@chat.example.org`, password, config())).toBe(refusal);
  });

  it.each([
    [
      "admin",
      "administrator",
      "hostmaster",
      "postmaster",
      "webmaster",
      "info",
      "marketing",
      "sales",
      "support",
    ],
    ["abuse", "noc", "security", "ftp", "news", "usenet", "uucp", "www", "mailer-daemon", "root", "nobody"],
  ])("keeps the names of roles from strangers at any length that is set", (...names) => {
    const wide = config("[accounts]\nlocal_part_min_length = 1\nlocal_part_max_length = 64\n");
    for (const name of names)
      expect(settingsRefusal(`${name}@chat.example.org`, password, wide), name).toBe("reserved-name");
    expect(settingsRefusal("postmasters@chat.example.org", password, wide)).toBeUndefined();
  });

  it("takes the lengths from the settings", () => {
    const wide = config(
      "[accounts]\nlocal_part_min_length = 3\nlocal_part_max_length = 20\npassword_min_length = 12\n",
    );
    expect(settingsRefusal("abc@chat.example.org", "x".repeat(12), wide)).toBeUndefined();
    expect(settingsRefusal(`${"a".repeat(20)}@chat.example.org`, "x".repeat(12), wide)).toBeUndefined();
    expect(settingsRefusal("ab@chat.example.org", "x".repeat(12), wide)).toBe("local-part-length");
    expect(settingsRefusal("abc@chat.example.org", "x".repeat(11), wide)).toBe("password-too-short");
    expect(settingsRefusal("postmaster@chat.example.org", "x".repeat(12), wide)).toBe("reserved-name");
  });

  it.each([
    ["12345678", "password-too-short"],
    ["123456789", undefined],
    // Characters count, not UTF-16 units or bytes.
    ["🐴🐴🐴🐴🐴🐴🐴🐴", "password-too-short"],
    ["🐴🐴🐴🐴🐴🐴🐴🐴🐴", undefined],
    ["x".repeat(513), "password-too-long"],
    ["x".repeat(23), undefined],
  ])("judges the password %s: %s", (candidate, refusal) => {
    expect(settingsRefusal("abc123xyz@chat.example.org", candidate, config())).toBe(refusal);
  });

  it("refuses clients that add relays by themselves only when told to", () => {
    const strict = config("[sign_up]\nrefuse_automatic_relays = true\n");
    expect(settingsRefusal("abc123xyz@chat.example.org", "x".repeat(23), strict)).toBe("automatic-relay");
    expect(settingsRefusal("abc123xyz@chat.example.org", "x".repeat(22), strict)).toBeUndefined();
  });

  it("makes nothing while sign-up is closed", () => {
    const closed = config('[sign_up]\nmode = "closed"\n');
    expect(settingsRefusal("abc123xyz@chat.example.org", password, closed)).toBe("sign-up-closed");
  });
});

describe("machineRefusal", () => {
  const fine = {
    loadAverage: 5,
    availableMemoryBytes: 200_000_000,
    freeDiskBytes: 1_000_000_000,
    diskBytes: 32_000_000_000,
    freeFiles: 20_000,
  };
  it.each([
    [{}, undefined],
    [{ loadAverage: 5.01 }, "load-too-high"],
    [{ availableMemoryBytes: 199_999_999 }, "memory-too-low"],
    [{ freeDiskBytes: 999_999_999 }, "disk-too-full"],
    [{ freeFiles: 19_999 }, "disk-too-full"],
    // On a card of 2 GB: 40 % of what is left of it for mail.
    [{ diskBytes: 800_000_000, freeDiskBytes: 320_000_000, freeFiles: 6400 }, undefined],
    [{ diskBytes: 800_000_000, freeDiskBytes: 319_999_999 }, "disk-too-full"],
    [{ diskBytes: 800_000_000, freeDiskBytes: 320_000_000, freeFiles: 6399 }, "disk-too-full"],
  ])("judges %j: %s", (change, refusal) => {
    expect(machineRefusal({ ...fine, ...change }, config().signUp)).toBe(refusal);
  });

  it("has a text for every refusal", () => {
    for (const text of Object.values(refusalTexts)) expect(text.length).toBeGreaterThan(20);
  });
});

describe("readMachineState", () => {
  it("reads this machine", async () => {
    const state = await readMachineState("/");
    expect(state.loadAverage).toBeGreaterThanOrEqual(0);
    expect(state.availableMemoryBytes).toBeGreaterThan(1_000_000);
    expect(state.freeDiskBytes).toBeGreaterThan(0);
    expect(state.diskBytes).toBeGreaterThan(state.freeDiskBytes);
    expect(state.freeFiles).toBeGreaterThan(0);
  });

  it("says so when /proc/meminfo is not what it should be", () => {
    expect(availableMemory("MemTotal: 9 kB\nMemAvailable:    1234 kB\n")).toBe(1234 * 1024);
    expect(() => availableMemory("MemTotal: 9 kB\n")).toThrow(/MemAvailable/);
  });
});
