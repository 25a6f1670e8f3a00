/** Plain words for the usual mistakes in relay.toml (appliance/toml-mistakes.ts), as parseRelayConfig says them. */
import { describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../appliance/relay-config.ts";

function complaint(...lines: string[]): string {
  try {
    parseRelayConfig(lines.join("\n"), "relay.toml");
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

describe("a mistake in relay.toml", () => {
  it.each([
    ["an unclosed quote", 'domain = "a.example', "line 2: the quote that begins the text is not closed"],
    ["an unclosed single quote", "domain = 'a.example # mine", "line 2: the quote that begins the text"],
    ["yes", "refuse_automatic_relays = yes", "line 2: write true or false, in lower case"],
    ["True, with a comment", "refuse_automatic_relays = True # mine", "line 2: write true or false"],
    ["curly quotes", "domain = “a.example”", "line 2: curly quotes mean nothing here"],
    ["one curly quote", 'domain = "a.example”', "line 2: curly quotes mean nothing here"],
    ["commas in a number", "max_message_bytes = 31,457,280", "line 2: a number has no separators but “_”"],
    ["dots in a number", "max_message_bytes = 31.457.280", "line 2: a number has no separators but “_”"],
    ["spaces in a number", "max_message_bytes = 31 457 280", "line 2: a number has no separators but “_”"],
    ["a bare word", "domain = a.example", "line 2: a text stands in quotes"],
    [
      "a bare word in a list",
      "authorized_keys = [\nssh-ed25519 AAAA me,\n]",
      "line 3: a text stands in quotes",
    ],
  ])("is explained: %s", (_, line, advice) => {
    expect(complaint("# mine", line, "")).toContain(`relay.toml has one mistake:\n  ${advice}`);
  });

  it("is told by the parser's words and place when it is another one", () => {
    expect(complaint("[sign_up", 'mode = "open"')).toMatch(/line 1, column \d+: not valid TOML, /);
    expect(complaint('domain = "a.example" "b"')).toMatch(/line 1, column \d+: not valid TOML, /);
  });

  it("shows the line", () => {
    expect(complaint("domain = yes")).toContain("1:  domain = yes");
  });
});
