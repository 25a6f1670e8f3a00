/** The wizard's work in real folders (installer/wizard/folder-effects.ts, progress-file.ts, relay-options.ts, found-relays.ts). */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { readRelayFolder } from "../../../installer/relay-folder.ts";
import { type Kept, noAnswers } from "../../../installer/wizard/answers.ts";
import { countryOf, folderEffects } from "../../../installer/wizard/folder-effects.ts";
import { readProgress, writeProgress } from "../../../installer/wizard/progress-file.ts";
import { OptionsByHandError, writeOptions } from "../../../installer/wizard/relay-options.ts";
import { facts, options, providers } from "./imagined-world.ts";

const domain = "_try.test";
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHHsUOlEaGbHwL4n0zq0E2dYFyLqkGJZSbTxFyGfBnpS me";
const follow = { report: () => {}, signal: new AbortController().signal };
const kept: Kept = {
  page: "options",
  answers: { ...noAnswers, domain, place: "vm-home", addresses: ["198.35.26.96"], dns: "by-hand" },
};

let directory: string;
let folder: string;
let effects: ReturnType<typeof folderEffects>;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "homing-wizard-"));
  effects = folderEffects(directory, async () => ({ facts: { ...facts, domain }, providers }));
  const made = await effects.make({ kind: "make", domain }, follow);
  folder = made.folder;
  expect(made).toEqual({ folder: join(directory, domain), kept: undefined, options });
});
afterAll(() => rm(directory, { recursive: true }));

describe("the relay folder", () => {
  it("is found by the next start, with what was answered", async () => {
    await effects.save(folder, kept);
    await mkdir(join(directory, "no relay"));
    const { relays } = await effects.relays({ kind: "relays" }, follow);
    expect(relays).toEqual([{ folder, domain, kept }]);
    const opened = await effects.open({ kind: "open", relay: relays[0]! }, follow);
    expect(opened).toMatchObject({ folder, domain, kept, options, providers });
  });

  it("is used again, never made twice, for the same domain", async () => {
    const key = await readFile(join(folder, "keys/tls.pem"));
    const again = await effects.make({ kind: "make", domain }, follow);
    expect(again).toMatchObject({ folder, kept });
    expect(await readFile(join(folder, "keys/tls.pem"))).toEqual(key);
  });

  it("names the addresses among the records to publish", async () => {
    await effects.address({ kind: "address", folder, answers: kept.answers }, follow);
    expect(await readFile(join(folder, "dns-records.txt"), "utf8")).toMatch(/ IN A +198\.35\.26\.96$/m);
  });

  it("keeps the answers for its owner alone, and leaves nothing beside them", async () => {
    await effects.save(folder, kept);
    expect((await stat(join(folder, "wizard.json"))).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).toEqual(expect.not.arrayContaining([expect.stringMatching(/\.part$/)]));
  });

  it.each([
    ["{", "unreadable"],
    ["[]", "unreadable"],
    ['{"version":2}', "unreadable"],
    [
      JSON.stringify({ version: 1, page: "options", answers: { addresses: ["x"], dns: "open" } }),
      "unreadable",
    ],
    [" ".repeat(20_000), "unreadable"],
  ])("asks anew after a wizard.json like %.20j", async (text, found) => {
    await writeFile(join(folder, "wizard.json"), text);
    expect(await readProgress(folder, domain)).toBe(found);
    expect((await effects.relays({ kind: "relays" }, follow)).relays[0]!.kept).toBeUndefined();
    await writeProgress(folder, kept);
    expect(await readProgress(folder, domain)).toEqual(kept);
  });

  it("keeps the access to a provider for whoever wants that, and it goes into no image", async () => {
    const credentials = { token: "sesame-4711" };
    const { path } = await effects["keep-access"]({ kind: "keep-access", folder, credentials }, follow);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const relay = { folder, domain, kept: { ...kept, answers: { ...kept.answers, provider: "desec" } } };
    const open = () => effects.open({ kind: "open", relay }, follow);
    expect(await open()).toMatchObject({ credentials, findings: [] });
    const { files } = await readRelayFolder(folder);
    expect([...files.values()].map(String).join("")).not.toContain(credentials.token);
    await chmod(path, 0o644);
    expect(await open()).toMatchObject({ credentials: {}, findings: [{ mark: "warning" }] });
    await rm(path);
    expect(await open()).toMatchObject({ credentials: {}, findings: [] });
  });

  it("with mistakes in its settings is not offered", async () => {
    const broken = join(directory, "broken");
    await mkdir(broken);
    await writeFile(join(broken, "relay.toml"), "domain = 5\n");
    const { relays } = await effects.relays({ kind: "relays" }, follow);
    expect(relays.map((relay) => relay.folder)).toEqual([folder]);
  });
});

describe("the settings", () => {
  it("are written into relay.toml, and what its owner set there stays", async () => {
    const path = join(folder, "relay.toml");
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replace("per_minute = 60", "per_minute = 61"));
    const wanted = { ...options, signUp: "invite", contact: "me@rosegarden.net" } as const;
    expect(await writeOptions(folder, wanted)).toEqual(wanted);
    const config = parseRelayConfig(await readFile(path, "utf8"), path);
    expect(config).toMatchObject({
      contact: "me@rosegarden.net",
      signUp: { mode: "invite" },
      sending: { perMinute: 61 },
    });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("are changed alone in a file with words and settings of its owner", async () => {
    const path = join(folder, "relay.toml");
    const before = await writeOptions(folder, options);
    const text = `# My relay.\n${(await readFile(path, "utf8")).replace("[sending]", "[sending] # less")}`;
    await writeFile(path, text);
    const wanted = { ...before, contact: "you@rosegarden.net", authorizedKeys: [key] };
    expect(await writeOptions(folder, wanted)).toEqual(wanted);
    const changed = text
      .replace('contact = ""', 'contact = "you@rosegarden.net"')
      .replace("authorized_keys = []", `authorized_keys = [\n  "${key}",\n]`);
    expect(await readFile(path, "utf8")).toBe(changed);
    expect(await writeOptions(folder, before)).toEqual(before);
    expect(await readFile(path, "utf8")).toBe(text);
  });

  it("hold the Wi-Fi, with a key instead of its password, and hidden as it was", async () => {
    const path = join(folder, "relay.toml");
    const wifi = { network: "Rose", country: "DE", password: "open sesame" };
    const { options: set } = await effects.wifi({ kind: "wifi", folder, wifi }, follow);
    expect(set.wifi).toEqual({ network: "Rose", country: "DE", open: false });
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replace("hidden = false", "hidden = true"));
    await effects.wifi({ kind: "wifi", folder, wifi: { network: "Rose", country: "FR" } }, follow);
    const { config, files } = await readRelayFolder(folder);
    expect(config.wifi).toMatchObject({ network: "Rose", country: "FR", hidden: true });
    expect([...files.values()].map(String).join("")).not.toContain("open sesame");
    const { options: none } = await effects.wifi({ kind: "wifi", folder, wifi: null }, follow);
    expect(none.wifi.network).toBe("");
  });

  it.each([
    ["de-DE", "DE"],
    ["en-US", ""],
    ["en-US-posix", ""],
    ["en", ""],
    ["pt-BR", "BR"],
    ["es-419", ""],
  ])("begin with the country of the language %s", (locale, country) => {
    expect(countryOf(locale)).toBe(country);
  });

  it("stay as they are where they are written in a way that is not known", async () => {
    const path = join(folder, "relay.toml");
    const text = `domain = "${domain}"\nsign_up = { mode = "open" }\n`;
    await writeFile(path, text);
    await expect(writeOptions(folder, { ...options, signUp: "invite" })).rejects.toThrow(OptionsByHandError);
    expect(await readFile(path, "utf8")).toBe(text);
  });
});
