import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { loadRelayConfig } from "../../../services/lib/settings.ts";

describe("loadRelayConfig", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-settings-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("reads what was written from relay.toml", async () => {
    const config = parseRelayConfig('domain = "chat.example.org"\n', "relay.toml");
    const path = join(folder, "relay.json");
    await writeFile(path, JSON.stringify(config));
    expect(await loadRelayConfig(path)).toEqual(config);
  });

  it("misses every part of the settings that the file lacks", async () => {
    const config = parseRelayConfig('domain = "chat.example.org"\n', "relay.toml");
    for (const part of Object.keys(config)) {
      const path = join(folder, `without-${part}.json`);
      await writeFile(path, JSON.stringify({ ...config, [part]: undefined }));
      await expect(loadRelayConfig(path)).rejects.toThrow(`lack ${part}:`);
    }
  });

  it.each([
    ["is missing", undefined, /cannot read .*homing-configure/],
    ["is cut short", '{"domain":', /not JSON.*homing-configure/],
    [
      "is of another version",
      '{"domain":"x.org","signUp":{}}',
      /lack contact, accounts, messages, sending, dkim, certificates, wifi, ssh, metrics, push/,
    ],
    ["is no object", "null", /lack domain/],
  ])("says what to do when the file %s", async (name, content, message) => {
    const path = join(folder, `${name}.json`);
    if (content !== undefined) await writeFile(path, content);
    await expect(loadRelayConfig(path)).rejects.toThrow(message);
    await expect(loadRelayConfig(path)).rejects.toMatchObject({ name: "SettingsError" });
  });
});
