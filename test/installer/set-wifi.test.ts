/** The Wi-Fi network in a relay folder (installer/set-wifi.ts). */
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRelayConfig, renderRelayToml } from "../../appliance/relay-config.ts";
import { wifiKey } from "../../appliance/wifi.ts";
import { setWifi, WifiError } from "../../installer/set-wifi.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-wifi-"));
  await writeFile(
    join(folder, "relay.toml"),
    renderRelayToml("chat.example.org", { contact: "a@b.example" }),
  );
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const settings = async () =>
  parseRelayConfig(await readFile(join(folder, "relay.toml"), "utf8"), "relay.toml");
const password = () => readFile(join(folder, "keys/wifi-password.txt"), "utf8");
const home = { network: "Café 1", country: "de", password: "correct horse" };

describe("setWifi", () => {
  it("sets the network and keeps the key made of the password, not the password", async () => {
    const config = await setWifi(folder, home);
    expect(config.wifi).toEqual({ network: "Café 1", country: "DE", hidden: false, open: false });
    expect(await settings()).toEqual(config);
    expect(config.contact).toBe("a@b.example");
    expect(await password()).toBe(`${wifiKey("Café 1", "correct horse")}\n`);
    if (process.platform !== "win32") {
      expect((await stat(join(folder, "keys/wifi-password.txt"))).mode & 0o777).toBe(0o600);
    }
  });

  it("keeps the password when it is not named, for the same network only", async () => {
    await expect(setWifi(folder, { network: "home", country: "DE" })).rejects.toThrow(/"home" is needed/);
    await setWifi(folder, home);
    const before = await password();
    const { network } = home;
    expect((await setWifi(folder, { network, country: "FR", hidden: true })).wifi).toMatchObject({
      country: "FR",
      hidden: true,
    });
    expect(await password()).toBe(before);
    await expect(setWifi(folder, { network: "other", country: "DE" })).rejects.toThrow(/"other" is needed/);
  });

  it("makes a key of a password that its owner wrote there by hand", async () => {
    await setWifi(folder, home);
    await writeFile(join(folder, "keys/wifi-password.txt"), "by hand 123\r\n");
    await setWifi(folder, { network: "Café 1", country: "DE" });
    expect(await password()).toBe(`${wifiKey("Café 1", "by hand 123")}\n`);
  });

  it("removes the password with the network, and where the network has none", async () => {
    for (const other of [null, { network: "airport", country: "DE", password: null }]) {
      await setWifi(folder, home);
      const { wifi } = await setWifi(folder, other);
      expect(wifi).toMatchObject({ network: other?.network ?? "", open: other !== null });
      await expect(password()).rejects.toThrow(/ENOENT/);
    }
  });

  it("refuses what cannot be, without the password in its words, and changes nothing", async () => {
    const before = await readFile(join(folder, "relay.toml"), "utf8");
    for (const wrong of [
      { ...home, network: "" },
      { ...home, country: "XX" },
      { ...home, password: "geheim" },
    ]) {
      const error = await setWifi(folder, wrong).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(WifiError);
      expect(String(error)).not.toContain("geheim");
    }
    expect(await readFile(join(folder, "relay.toml"), "utf8")).toBe(before);
    await expect(password()).rejects.toThrow(/ENOENT/);
  });

  it("changes only its lines in settings that their owner has commented", async () => {
    const mine = `# mine\n${await readFile(join(folder, "relay.toml"), "utf8")}`;
    await writeFile(join(folder, "relay.toml"), mine);
    await setWifi(folder, { ...home, hidden: true });
    expect(await readFile(join(folder, "relay.toml"), "utf8")).toBe(
      mine
        .replace('network = ""', 'network = "Café 1"')
        .replace('country = ""', 'country = "DE"')
        .replace("hidden = false", "hidden = true"),
    );
  });

  it("adds the section to settings of before there was one", async () => {
    await writeFile(join(folder, "relay.toml"), 'domain = "chat.example.org"\n');
    await setWifi(folder, home);
    expect((await settings()).wifi).toMatchObject({ network: "Café 1", country: "DE" });
  });

  it("refuses settings written in a way that it does not know, and changes nothing", async () => {
    const mine = 'domain = "chat.example.org"\nwifi = { network = "old", country = "DE", open = true }\n';
    await writeFile(join(folder, "relay.toml"), mine);
    await expect(setWifi(folder, home)).rejects.toThrow(WifiError);
    expect(await readFile(join(folder, "relay.toml"), "utf8")).toBe(mine);
    await expect(password()).rejects.toThrow(/ENOENT/);
  });
});
