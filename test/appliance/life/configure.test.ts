import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  DATA_VERSION,
  dataPaths,
  dataProblemPath,
  HOMING_VERSION,
  runPaths,
  tlsCertificatePath,
} from "../../../appliance/layout.ts";
import { configureDevice } from "../../../appliance/life/configure.ts";
import { type Disk, realDisk } from "../../../appliance/life/disk.ts";
import { rootfsSpec } from "../../../appliance/rootfs.ts";
import { makePartitions, type Partitions, putFiles, relayFiles, textOf } from "./relay-on-fat.ts";

const now = new Date("2026-11-21T12:00:00Z");
const machine = { memoryBytes: 2 ** 30 };
const machineId = "0123456789abcdef0123456789abcdef";

type Device = AsyncDisposable &
  Readonly<{
    partitions: Partitions;
    at(path: string): string;
    said: string[];
    boot(disk?: Disk): Promise<unknown>;
  }>;

/** A device below a temporary folder; its users are all who runs the tests, who cannot give files away. */
async function makeDevice(files = relayFiles): Promise<Device> {
  const partitions = await makePartitions(files);
  const at = (path: string) => join(partitions.folder, path);
  const names = ["root", "postfix", ...rootfsSpec().users.map((user) => user.name)];
  await mkdir(at("etc"), { recursive: true });
  await writeFile(
    at("etc/passwd"),
    names.map((name) => `${name}:x:${process.getuid!()}:0::/:/bin/false\n`).join(""),
  );
  await writeFile(at("etc/group"), names.map((name) => `${name}:x:${process.getgid!()}:\n`).join(""));
  await writeFile(at("etc/machine-id"), `${machineId}\n`);
  const said: string[] = [];
  await mkdir(at(dataPaths.tls), { recursive: true });
  await mkdir(at(dataPaths.ssh), { recursive: true });
  return {
    partitions,
    at,
    said,
    boot: (disk) =>
      configureDevice({ root: partitions.folder, say: (text) => said.push(text), now, machine, disk }),
    [Symbol.asyncDispose]: () => partitions[Symbol.asyncDispose](),
  };
}

/** Everything outside /data is forgotten at a restart. */
async function restart({ at }: Device): Promise<void> {
  for (const path of ["run", "etc/postfix", "etc/dovecot", "etc/nftables.conf", "etc/ssh"]) {
    await rm(at(path), { recursive: true, force: true });
  }
}

const mode = async (path: string) => (await stat(path)).mode & 0o777;

describe("the boot of a device", () => {
  it("makes a relay of it", async () => {
    await using device = await makeDevice();
    await device.boot();
    const { at } = device;
    expect(await readFile(at("etc/postfix/main.cf"), "utf8")).toContain("myhostname = chat.example.org\n");
    for (const path of ["etc/postfix/master.cf", "etc/dovecot/dovecot.conf", "etc/nftables.conf"]) {
      expect(existsSync(at(path)), path).toBe(true);
    }
    expect(JSON.parse(await readFile(at(runPaths.relayConfig), "utf8"))).toMatchObject({
      domain: "chat.example.org",
    });
    expect(await textOf(at(runPaths.dkimKey))).toBe(relayFiles["keys/dkim-homing1.pem"]);
    expect(await textOf(at(runPaths.authSecret))).toMatch(/^[0-9a-f]{64}$/);
    expect(await textOf(at(dataPaths.machineId))).toBe(`${machineId}\n`);
    expect(existsSync(at("boot/relay"))).toBe(false);
  });

  it("hands out the next DKIM key while there is one, its public half to everyone", async () => {
    const settings = `${relayFiles["relay.toml"]}[dkim]\nnext_selector = "homing2"\n`;
    const second = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const nextPem = second.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    await using device = await makeDevice({
      ...relayFiles,
      "relay.toml": settings,
      "keys/dkim-homing2.pem": nextPem,
    });
    await device.boot();
    const { at, partitions } = device;
    expect(await textOf(at(runPaths.dkimKey))).toBe(relayFiles["keys/dkim-homing1.pem"]);
    expect(await textOf(at(runPaths.dkimNextKey))).toBe(nextPem);
    expect(await mode(at(runPaths.dkimNextKey))).toBe(0o440);
    const publicPem = await readFile(at(runPaths.dkimNextPublicKey), "utf8");
    expect(publicPem).not.toContain("PRIVATE");
    expect(createPublicKey(publicPem).equals(second.publicKey)).toBe(true);
    // The first is withdrawn.
    const later = settings.replace('next_selector = "homing2"', 'selector = "homing2"');
    await putFiles(partitions.from, { "relay.toml": later });
    await device.boot();
    expect(await textOf(at(runPaths.dkimKey))).toBe(nextPem);
    expect(existsSync(at(runPaths.dkimNextKey))).toBe(false);
    expect(existsSync(at(runPaths.dkimNextPublicKey))).toBe(false);
  });

  it("lets nobody else read the secrets", async () => {
    await using device = await makeDevice();
    await device.boot();
    const { at } = device;
    expect(await mode(at(runPaths.dkimKey))).toBe(0o440);
    expect(await mode(at(runPaths.authSecret))).toBe(0o440);
    expect(await mode(at("run/homing/auth"))).toBe(0o550);
    expect(await mode(at("run/homing/milter"))).toBe(0o750);
    expect(await mode(at("data/relay/keys"))).toBe(0o700);
    for (const path of [runPaths.relayConfig, "/etc/postfix/main.cf", "/etc/dovecot/dovecot.conf"]) {
      expect(await readFile(at(path), "utf8"), path).not.toMatch(/PRIVATE KEY/);
    }
  });

  it("marks its data with their version, and refuses those of a newer system untouched", async () => {
    await using device = await makeDevice();
    await device.boot();
    const { at } = device;
    expect(await textOf(at(dataPaths.version))).toBe(`${DATA_VERSION}\nHoming ${HOMING_VERSION}\n`);
    await restart(device);
    await writeFile(at(`${dataPaths.version}.new`), "2\nHoming 9.1.0\n");
    await rename(at(`${dataPaths.version}.new`), at(dataPaths.version));
    await putFiles(device.partitions.from, relayFiles);
    await expect(device.boot()).rejects.toThrow(/is of version 2 \(Homing 9\.1\.0\), .* version 1 at most/);
    expect(existsSync(at("boot/relay/relay.toml"))).toBe(true);
    expect(existsSync(at("etc/postfix/main.cf"))).toBe(false);
  });

  it("says what keeps the data partition away, and starts no mail", async () => {
    await using device = await makeDevice();
    await mkdir(device.at("/etc/homing"));
    await writeFile(device.at(dataProblemPath), "the data partition /dev/sda4 is damaged\n");
    await expect(device.boot()).rejects.toThrow(
      /^the data partition \/dev\/sda4 is damaged\.\nNothing was formatted/,
    );
    expect(existsSync(device.at("etc/postfix/main.cf"))).toBe(false);
    expect(existsSync(device.at("boot/relay/relay.toml"))).toBe(true);
  });

  it("keeps identity and certificate over a second boot", async () => {
    await using device = await makeDevice();
    await device.boot();
    const certificate = await textOf(device.at(tlsCertificatePath));
    await restart(device);
    await device.boot();
    expect(await textOf(device.at(tlsCertificatePath))).toBe(certificate);
    expect(await textOf(device.at(dataPaths.machineId))).toBe(`${machineId}\n`);
    expect(await readFile(device.at("etc/postfix/main.cf"), "utf8")).toContain("chat.example.org");
  });

  it("keeps the shared secret when it runs again within a boot, and makes a new one at the next", async () => {
    await using device = await makeDevice();
    await device.boot();
    const secret = await textOf(device.at(runPaths.authSecret));
    await device.boot();
    expect(await textOf(device.at(runPaths.authSecret))).toBe(secret);
    await restart(device);
    await device.boot();
    expect(await textOf(device.at(runPaths.authSecret))).not.toBe(secret);
  });

  it("opens SSH for the keys of the settings only", async () => {
    const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAx admin";
    await using device = await makeDevice({
      ...relayFiles,
      "relay.toml": `domain = "chat.example.org"\n[ssh]\nauthorized_keys = ["${key}"]\n`,
    });
    await device.boot();
    expect(await textOf(device.at("etc/ssh/authorized_keys"))).toBe(`${key}\n`);
    expect(await readFile(device.at("etc/nftables.conf"), "utf8")).toMatch(/dport 22 /);
    const hostKey = await textOf(device.at("data/ssh/ssh_host_ed25519_key"));
    expect(hostKey).toContain("OPENSSH PRIVATE KEY");
    await restart(device);
    await device.boot();
    expect(await textOf(device.at("data/ssh/ssh_host_ed25519_key"))).toBe(hostKey);

    await putFiles(device.partitions.from, { "relay.toml": relayFiles["relay.toml"]! });
    await device.boot();
    expect(existsSync(device.at("etc/ssh/authorized_keys"))).toBe(false);
    expect(await readFile(device.at("etc/nftables.conf"), "utf8")).not.toMatch(/dport 22 /);
  });

  it("says what to do when there is no relay at all", async () => {
    await using device = await makeDevice({});
    await expect(device.boot()).rejects.toThrow(/no relay on this device.*homing build/s);
    expect(existsSync(device.at("etc/postfix/main.cf"))).toBe(false);
  });

  it("goes on with the settings in use when those on the boot partition are wrong, and says so", async () => {
    await using device = await makeDevice();
    await device.boot();
    await putFiles(device.partitions.from, { "relay.toml": 'domain = "chat.example.org"\ncontakt = "me"\n' });
    await device.boot();
    expect(device.said.join("\n")).toMatch(/NOT TAKEN OVER.*contakt.*stays on the boot partition/s);
    expect(await textOf(device.at("data/relay/relay.toml"))).toBe(relayFiles["relay.toml"]);
  });

  it.each([
    ["the data partition is full", "put", "ENOSPC"],
    ["a sector of the boot partition cannot be read", "readdir", "EIO"],
    ["a sector of the boot partition cannot be overwritten", "wipe", "EIO"],
  ])("goes on with a relay that works when %s, and says so", async (_what, operation, code) => {
    await using device = await makeDevice();
    await device.boot();
    await restart(device);
    await putFiles(device.partitions.from, {
      ...relayFiles,
      "relay.toml": `${relayFiles["relay.toml"]}contact = "me@a.example"\n`,
    });
    const fails = (path: string) => {
      if (!path.includes("/relay/")) return;
      throw Object.assign(new Error(`${code}: of the test`), { code });
    };
    if (operation === "readdir") {
      // What a folder is that cannot be listed: on the device a bad sector, here a file of that name.
      await rm(device.partitions.from, { recursive: true });
      await writeFile(device.partitions.from, "");
    }
    const disk: Disk = {
      ...realDisk,
      put: async (path, ...rest) => {
        if (operation === "put") fails(path);
        await realDisk.put(path, ...rest);
      },
      wipe: async (path) => {
        if (operation === "wipe") fails(path);
        await realDisk.wipe(path);
      },
    };
    await device.boot(disk);
    const said = device.said.join("\n");
    expect(said).toMatch(/NOT TAKEN OVER \(or not to the end\).*error of the disk/);
    expect(said).toContain("this is the relay chat.example.org");
    expect(await textOf(device.at(runPaths.importProblem))).toContain("private keys");
    expect(existsSync(device.at("etc/postfix/main.cf"))).toBe(true);
    // The disk is mended or the folder removed: everything is as it should be, and nothing is said any more.
    await rm(device.partitions.from, { recursive: true, force: true });
    await device.boot();
    expect(existsSync(device.at(runPaths.importProblem))).toBe(false);
  });

  it("stops at an error of the disk when the relay on it is not whole", async () => {
    await using device = await makeDevice();
    await device.boot();
    await rm(device.at("data/relay/keys/tls.pem"));
    await putFiles(device.partitions.from, relayFiles);
    const disk: Disk = {
      ...realDisk,
      put: async () => {
        throw Object.assign(new Error("ENOSPC: of the test"), { code: "ENOSPC" });
      },
    };
    await expect(device.boot(disk)).rejects.toThrow("ENOSPC");
  });

  it("goes on when what it could do without, or makes anew, cannot be read", async () => {
    const files = { ...relayFiles, "web/index.md": "# Mine" };
    await using device = await makeDevice(files);
    await device.boot();
    const { at, said } = device;
    await restart(device);
    const unreadable = [
      ...[dataPaths.version, dataPaths.machineId, tlsCertificatePath],
      ...["data/relay/keys/acme-account.pem", "data/relay/web"],
    ];
    for (const path of unreadable) {
      await rm(at(path), { recursive: true });
      await symlink(basename(path), at(path));
    }
    said.length = 0;
    await device.boot();
    for (const path of unreadable)
      expect(said.filter((line) => line.includes(at(path)) && line.includes("ELOOP"))).not.toEqual([]);
    expect(await textOf(at(dataPaths.version))).toContain(HOMING_VERSION);
    expect(await textOf(at(dataPaths.machineId))).toBe(`${machineId}\n`);
    expect(await textOf(at(tlsCertificatePath))).toMatch(/^-----BEGIN CERTIFICATE-----\n/);
    expect(existsSync(at("etc/postfix/main.cf"))).toBe(true);
    expect(existsSync(at(runPaths.web))).toBe(false);
  });

  it("says what it wiped unread", async () => {
    await using device = await makeDevice({ ...relayFiles, "keys/made-for": "x", "keys/a\nb": "x" });
    await device.boot();
    expect(device.said.join("\n")).toContain(
      'wiped unread, for they are no part of a relay: "keys/a\\nb", "keys/made-for"',
    );
  });

  it("stops at a wrong relay.toml when there is nothing to go on with", async () => {
    await using device = await makeDevice({ ...relayFiles, "relay.toml": "domain = 5\n" });
    await expect(device.boot()).rejects.toThrow(/relay\.toml on the boot partition/);
    expect(existsSync(device.at("etc/postfix/main.cf"))).toBe(false);
  });

  it("makes a new certificate when the old one was cut off by a power cut", async () => {
    await using device = await makeDevice();
    await device.boot();
    await writeFile(device.at(tlsCertificatePath), "-----BEGIN CERT");
    await device.boot();
    expect(await textOf(device.at(tlsCertificatePath))).toMatch(/^-----BEGIN CERTIFICATE-----\n/);
  });
});

describe("the boot of a device with Wi-Fi", () => {
  const wifi = '[wifi]\nnetwork = "IEEE"\ncountry = "DE"\n';
  const withWifi = {
    ...relayFiles,
    "relay.toml": `${relayFiles["relay.toml"]}${wifi}`,
    "keys/wifi-password.txt": "password\r\n",
  };

  it("gives root alone the key, keeps the password of the folder, and forgets both with the network", async () => {
    await using device = await makeDevice(withWifi);
    await device.boot();
    const { at, partitions } = device;
    expect(await textOf(at(runPaths.wifi))).toContain(
      "psk=f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e\n",
    );
    expect(await mode(at(runPaths.wifi))).toBe(0o600);
    expect(await textOf(at(`${dataPaths.relay}/keys/wifi-password.txt`))).toBe("password\r\n");
    await putFiles(join(partitions.folder, "boot/relay"), {
      "relay.toml": relayFiles["relay.toml"]!,
    });
    await device.boot();
    expect(existsSync(at(runPaths.wifi))).toBe(false);
    expect(existsSync(at(`${dataPaths.relay}/keys/wifi-password.txt`))).toBe(false);
  });

  it("takes no folder without the password, and stops no relay that lost it", async () => {
    const { "keys/wifi-password.txt": _password, ...without } = withWifi;
    {
      await using device = await makeDevice(without);
      await expect(device.boot()).rejects.toThrow(
        /wifi-password\.txt is missing: put there the password .*"IEEE"/,
      );
    }
    await using device = await makeDevice(withWifi);
    await device.boot();
    await rm(device.at(`${dataPaths.relay}/keys/wifi-password.txt`));
    await device.boot();
    expect(device.said.join("\n")).toContain("no Wi-Fi: keys/wifi-password.txt");
    expect(existsSync(device.at(runPaths.wifi))).toBe(false);
  });
});
