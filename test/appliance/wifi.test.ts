/** Names, passwords and countries of wireless networks (appliance/wifi.ts) and their settings (wifi-settings.ts). */
import { describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../appliance/relay-config.ts";
import { ownerFilePaths, relayFilePaths } from "../../appliance/relay-files.ts";
import {
  wifiCountryProblem,
  wifiKey,
  wifiNetworkProblem,
  wifiPasswordOf,
  wifiPasswordProblem,
} from "../../appliance/wifi.ts";

const settings = (wifi: string) =>
  parseRelayConfig(`domain = "chat.example.org"\n[wifi]\n${wifi}`, "relay.toml");

describe("the name of a network", () => {
  it("has 1 to 32 bytes, not characters", () => {
    expect(wifiNetworkProblem("Café 1")).toBeUndefined();
    expect(wifiNetworkProblem("é".repeat(16))).toBeUndefined();
    expect(wifiNetworkProblem("é".repeat(17))).toContain("has 34");
    expect(wifiNetworkProblem("")).toContain("at least one");
    expect(wifiNetworkProblem("a\nb")).toContain("control characters");
  });
});

describe("the password of a network", () => {
  it("is a pass-phrase of 8 to 63 characters of ASCII or a key of 64 digits", () => {
    for (const right of ["12345678", " a b c d ", "~".repeat(63), `${"0aF".repeat(21)}0`]) {
      expect(wifiPasswordProblem(right)).toBeUndefined();
    }
    for (const wrong of ["", "1234567", "x".repeat(64), "pässwort1", "tab\there1"]) {
      expect(wifiPasswordProblem(wrong)).toBeDefined();
    }
  });

  it("is never part of what is said about it", () => {
    for (const wrong of ["secret1", "sécret-sécret"]) expect(wifiPasswordProblem(wrong)).not.toContain(wrong);
  });

  it("is read from a file of any editor, with its own spaces", () => {
    expect(wifiPasswordOf("\uFEFF a b c d e \r\n")).toBe(" a b c d e ");
  });

  it("becomes the key of the standard's own examples (IEEE 802.11-2020 §J.4.2)", () => {
    expect(wifiKey("IEEE", "password")).toBe(
      "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e",
    );
    expect(wifiKey("ThisIsASSID", "ThisIsAPassword")).toBe(
      "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af",
    );
    expect(wifiKey("Z".repeat(32), "a".repeat(32))).toBe(
      "becb93866bb8c3832cb777c2f559807c8c59afcb6eae734885001300a981cc62",
    );
    expect(wifiKey("any", "AB".repeat(32))).toBe("ab".repeat(32));
  });
});

describe("[wifi] in relay.toml", () => {
  it("wants a country with a network, and a password unless it is open", () => {
    expect(() => settings('network = "home"')).toThrow(/wifi\.country: it is empty/);
    const closed = settings('network = "home"\ncountry = "DE"');
    expect(relayFilePaths(closed).wifiPassword).toBe("keys/wifi-password.txt");
    expect(ownerFilePaths(closed)).toEqual(["keys/wifi-password.txt"]);
    expect(ownerFilePaths(settings('network = "home"\ncountry = "DE"\nopen = true'))).toEqual([]);
    expect(ownerFilePaths(settings('country = "DE"'))).toEqual([]);
  });

  it("says what is wrong with a name or a country", () => {
    expect(() => settings(`network = "${"x".repeat(33)}"\ncountry = "DE"`)).toThrow(
      /wifi\.network: .*has 33/,
    );
    expect(() => settings('network = "home"\ncountry = "UK"')).toThrow(/found "UK"; .*Great Britain is GB/);
    expect(() => settings('network = "home"\ncountry = "de"')).toThrow(/in capital letters: DE/);
    expect(() => settings("network = 7")).toThrow(/wifi\.network: found 7; allowed: 1 to 32 bytes/);
    expect(wifiCountryProblem("FR")).toBeUndefined();
  });
});
