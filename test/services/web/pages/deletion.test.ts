/** What the pages promise of deletion: what the settings say when something obeys them, and nothing before. */
import { describe, expect, it } from "vitest";
import { deletionIsEnforced } from "../../../../appliance/deletion.ts";
import { parseRelayConfig, renderRelayToml } from "../../../../appliance/relay-config.ts";
import { webDefaultsFolder } from "../../../../appliance/web-defaults.ts";
import type { WebRequest } from "../../../../services/web/exchange.ts";
import { createPages } from "../../../../services/web/pages/pages.ts";
import { readWebFolders } from "../../../../services/web/pages/web-folder.ts";

const config = parseRelayConfig('domain = "chat.example.org"\n', "relay.toml");
const paths = ["/en/", "/en/info", "/en/privacy", "/de/", "/de/info", "/de/privacy"];
/** The settings' days: of messages, of large ones, of a profile. Tokens of phones have days of their own. */
const promised = /(?:after|nach) (?:20|7) (?:days|Tagen)|(?:deleted|wird)\s(?:after|nach) 90|alles davon/;
/** The same, said of nothing in particular. */
const denied =
  /deletes? (?:none|no profile|nothing)|löscht (?:noch keine|das Relay noch kein|es noch)|until your app|deine App sie/;

async function textsOf(deletes?: boolean): Promise<Map<string, string>> {
  const files = await readWebFolders([webDefaultsFolder]);
  const pages = createPages({
    config,
    files,
    signUpMode: () => "open",
    ...(deletes !== undefined && { deletes }),
  });
  expect(pages.problems).toEqual([]);
  const texts = new Map<string, string>();
  for (const path of paths) {
    const head = { path, query: new URLSearchParams(), headers: { get: () => undefined, all: () => [] } };
    const { body } = await pages.routes[path]!.GET!(head as unknown as WebRequest);
    texts.set(path, String(body).replace(/\s+/g, " "));
  }
  return texts;
}

describe("the pages", () => {
  it("promise no deletion while nothing deletes, and say so", async () => {
    for (const [path, text] of await textsOf(false)) {
      expect(text, path).not.toMatch(promised);
      expect(text, path).toMatch(denied);
    }
  });

  it("promise what the settings say once it is done", async () => {
    for (const [path, text] of await textsOf(true)) {
      expect(text, path).toMatch(promised);
      expect(text, path).not.toMatch(denied);
    }
  });

  it("say what relay.toml says of these settings", async () => {
    const marked = /# Messages are deleted .*\(not enforced in this version\)/.test(
      renderRelayToml("chat.example.org"),
    );
    expect(marked).toBe(!deletionIsEnforced);
    expect(await textsOf()).toEqual(await textsOf(deletionIsEnforced));
  });
});
