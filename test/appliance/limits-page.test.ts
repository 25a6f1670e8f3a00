/** docs/limits.md against the settings and the tests that there are. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parseRelayConfig } from "../../appliance/relay-config.ts";

const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/limits.md"), "utf8");
const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

it("docs/limits.md has a row for every setting that limits something", () => {
  const { domain: _name, ...sections } = parseRelayConfig('domain = "a.example"\n', "relay.toml");
  // All of these sections is about limits; elsewhere, what is a number is one.
  const aboutLimits = ["signUp", "accounts", "messages", "sending"];
  const settings = Object.entries(sections).flatMap(([section, values]) =>
    Object.entries(values)
      .filter(([, value]) => aboutLimits.includes(section) || typeof value === "number")
      .map(([key]) => `${snake(section)}.${snake(key)}`),
  );
  expect(settings).toContain("turn.max_megabits");
  expect(settings.filter((setting) => !page.includes(`| \`${setting}\` |`))).toEqual([]);
});

it("docs/limits.md names tests that there are", () => {
  const files = [...page.matchAll(/`(test\/[^`]+\.ts)`/g)].map(([, path]) => path!);
  expect(files.length).toBeGreaterThan(20);
  expect(files.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});
