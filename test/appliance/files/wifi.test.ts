/** What joins a Wi-Fi network, judged by the programs that read it, and how the status page learns of it. */
import { spawnSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lookAtWifi, supplicantConfig } from "../../../appliance/files/wifi.ts";
import { runPaths } from "../../../appliance/layout.ts";
import { findProgram } from "../../../installer/vm/machine.ts";

const home = { network: "Café 1", country: "DE", hidden: false, open: false };

describe("what wpa_supplicant is told", () => {
  it("names the network by its bytes and holds the key alone, for WPA2", () => {
    const text = supplicantConfig(home, "ab".repeat(32));
    expect(text).toContain("country=DE\n");
    expect(text).toContain("  ssid=436166c3a92031\n");
    expect(text).toContain(`  psk=${"ab".repeat(32)}\n`);
    expect(text).toContain("key_mgmt=WPA-PSK\n");
    expect(text).not.toContain("scan_ssid");
  });

  it("asks for a hidden network by its name, and joins an open one without a key", () => {
    const text = supplicantConfig({ ...home, hidden: true, open: true }, null);
    expect(text).toContain("  scan_ssid=1\n  key_mgmt=NONE\n");
    expect(text).not.toContain("psk");
  });

  it("cannot be broken out of by a name", () => {
    const text = supplicantConfig({ ...home, network: '"}\nnetwork={' }, null);
    expect(text.match(/network=\{/g)).toHaveLength(1);
  });
});

const supplicant = findProgram("wpa_supplicant");
const unjudged = supplicant === undefined ? " (skipped: wpa_supplicant is missing)" : "";

describe.skipIf(supplicant === undefined)(`wpa_supplicant itself${unjudged}`, () => {
  it("reads the same network out of it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "homing-supplicant-"));
    try {
      const path = join(folder, "conf");
      await writeFile(path, supplicantConfig({ ...home, hidden: true }, "ab".repeat(32)));
      // No such card: it ends when it has read the settings.
      const args = ["-dd", "-K", "-D", "none", "-i", "none0", "-c", path];
      const { stdout } = spawnSync(supplicant!, args, { encoding: "utf8", timeout: 20_000 });
      expect(stdout).toContain("country='DE'\n");
      expect(stdout).toContain("   id=0 ssid='Caf\\xc3\\xa9 1'\n");
      expect(stdout).toContain("scan_ssid=1 (0x1)\n");
      expect(stdout).toContain(`PSK - hexdump(len=32):${" ab".repeat(32)}\n`);
      expect(stdout).not.toMatch(/Line \d+:/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe.skipIf(process.platform === "win32")("a look at the Wi-Fi", () => {
  let folder: string;
  let control: ReturnType<typeof createServer> | undefined;
  let state: string;
  let networks: string;

  const program = async (path: string, body: string) => {
    await writeFile(join(folder, path), `#!/bin/sh\n${body}\n`);
    await chmod(join(folder, path), 0o755);
  };
  /** The line that comes of it, with what the page showed before. */
  const look = async (before = "") => {
    await writeFile(join(folder, runPaths.state), before);
    await program("bin/wpa_cli", `[ "$5" = status ] && echo "wpa_state=${state}" || printf '${networks}'`);
    const script = `set -eu\nroot=$1\n${lookAtWifi}\nwifi`;
    const env = { ...process.env, PATH: `${folder}/bin:${process.env.PATH}` };
    const { stdout, stderr, status } = spawnSync("sh", ["-c", script, "look", folder], {
      env,
      encoding: "utf8",
    });
    expect([stderr, status]).toEqual(["", 0]);
    return stdout;
  };
  const card = async () => {
    await mkdir(join(folder, "run/homing-wifi/wlan0"), { recursive: true });
    control = createServer();
    const path = join(folder, "run/homing-wifi/wlan0/wlan0");
    await new Promise<void>((resolve) => control?.listen(path, resolve));
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-look-wifi-"));
    [state, networks] = ["COMPLETED", "0\\tx\\tany\\t[CURRENT]\\n"];
    for (const name of ["bin", "usr/sbin", "run/homing"])
      await mkdir(join(folder, name), { recursive: true });
    await program("usr/sbin/wpa_supplicant", "");
  });
  afterEach(async () => {
    if (control !== undefined) await new Promise((resolve) => control?.close(resolve));
    control = undefined;
    await rm(folder, { recursive: true });
  });

  it("has nothing to say of a machine whose image cannot join any, nor once it has joined", async () => {
    await card();
    expect(await look()).toBe("");
    await rm(join(folder, "usr/sbin/wpa_supplicant"));
    expect(await look()).toBe("");
  });

  it("sees that there is no card, no network, or that it is not let in", async () => {
    expect(await look()).toBe("wifi no-card\n");
    await card();
    state = "SCANNING";
    expect(await look()).toBe("wifi out-of-reach\n");
    networks = "0\\tx\\tany\\t[TEMP-DISABLED]\\n";
    expect(await look()).toBe("wifi refused\n");
    state = "ASSOCIATING";
    networks = "";
    expect(await look()).toBe("");
  });

  it("keeps to it while a refused password is tried again, until it is in", async () => {
    await card();
    for (state of ["ASSOCIATING", "SCANNING", "4WAY_HANDSHAKE"]) {
      expect(await look("unit a active\nwifi refused\n")).toBe("wifi refused\n");
    }
    state = "COMPLETED";
    expect(await look("wifi refused\n")).toBe("");
  });
});
