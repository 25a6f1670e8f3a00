/** The credentials of the providers as a file (appliance/dns/provider-fields.ts). */
import { describe, expect, it } from "vitest";
import {
  checkCredentials,
  parseCredentials,
  providerFields,
  type RegistrarId,
} from "../../../appliance/dns/provider-fields.ts";
import { providers } from "../../../appliance/dns/providers/providers.ts";

describe("the credentials", () => {
  it("are those that the providers ask for", () => {
    const asked = providers
      .filter(({ id }) => id !== "rfc2136")
      .map(({ id, credentials }) => [
        id,
        credentials.map(({ key, optional }) => key + (optional ? "?" : "")),
      ]);
    expect(Object.entries(providerFields)).toEqual(asked);
  });

  it("are read line by line", () => {
    expect([...parseCredentials('\n# comment\n token = "a b" \r\nendpoint=eu')]).toEqual([
      ["token", "a b"],
      ["endpoint", "eu"],
    ]);
  });

  it.each<[provider: RegistrarId, text: string, words: string]>([
    ["cloudflare", "", "the line “token = …” is missing"],
    ["cloudflare", "hidden-secret", "line 1 is not of the form “key = value”"],
    ["cloudflare", "token = \n", "line 1 is not of the form “key = value”"],
    [
      "gandi",
      "token = x\nsharing = hidden-secret",
      "there is no “sharing” at gandi; it has token, sharing_id",
    ],
  ])("for %s are not %j", (provider, text, words) => {
    expect(() => checkCredentials(provider, text)).toThrow(words);
    expect(() => checkCredentials(provider, text)).not.toThrow("hidden-secret");
  });

  it("may leave out what is optional", () => {
    expect(() => checkCredentials("gandi", "token = x")).not.toThrow();
  });
});
