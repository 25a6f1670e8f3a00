/** Whom else the privacy page names, by the settings. */
import { expect, it } from "vitest";
import { parseRelayConfig } from "../../../../appliance/relay-config.ts";
import { webDefaultsFolder } from "../../../../appliance/web-defaults.ts";
import type { WebRequest } from "../../../../services/web/exchange.ts";
import { createPages } from "../../../../services/web/pages/pages.ts";
import { readWebFolders } from "../../../../services/web/pages/web-folder.ts";

async function pageOf(path: string, settings: string): Promise<string> {
  const config = parseRelayConfig(`domain = "chat.example.org"\n${settings}`, "relay.toml");
  const files = await readWebFolders([webDefaultsFolder]);
  const { routes, problems } = createPages({ config, files, signUpMode: () => "open" });
  expect(problems).toEqual([]);
  const request = { path, query: new URLSearchParams(), headers: { get: () => undefined, all: () => [] } };
  return String((await routes[path]!.GET!(request as unknown as WebRequest)).body);
}

it.each(["/en/privacy", "/de/privacy"])(
  "%s names the Iroh relay that apps are told of, if any",
  async (path) => {
    const told = '[clients]\niroh_relay_url = "https://iroh.example.org:8443"\n';
    expect(await pageOf(path, told)).toContain("iroh.example.org:8443");
    expect(await pageOf(path, "")).not.toMatch(/iroh|Apps/);
  },
);
