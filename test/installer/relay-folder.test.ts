/** Making and reading relay folders (installer/relay-folder.ts). */
import { createPrivateKey } from "node:crypto";
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DomainError } from "../../appliance/domain.ts";
import { RelayConfigError } from "../../appliance/relay-config.ts";
import { createRelayFolder, RelayFolderError, readRelayFolder } from "../../installer/relay-folder.ts";

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-relay-folder-"));
});
afterEach(async () => {
  await rm(scratch, { recursive: true });
});

const names = ["keys/acme-account.pem", "keys/dkim-homing1.pem", "keys/tls.pem", "relay.toml"];

describe("createRelayFolder", () => {
  it("makes settings and three keys, which reading gives back", async () => {
    const directory = join(scratch, "chat.example.org");
    const made = await createRelayFolder(directory, "Chat.Example.org");
    const read = await readRelayFolder(directory);
    expect(made.config.domain).toBe("chat.example.org");
    expect(read.config).toEqual(made.config);
    expect([...read.files.keys()].sort()).toEqual(names);
    for (const name of names)
      expect(Buffer.from(read.files.get(name)!).equals(made.files.get(name)!)).toBe(true);
  });

  it("makes keys of the kinds that mail, TLS and ACME need, in PKCS #8", async () => {
    const { files } = await createRelayFolder(join(scratch, "a"), "a.example");
    const key = (name: string) => createPrivateKey(Buffer.from(files.get(name)!));
    expect(key("keys/dkim-homing1.pem").asymmetricKeyType).toBe("rsa");
    expect(key("keys/dkim-homing1.pem").asymmetricKeyDetails?.modulusLength).toBe(2048);
    expect(key("keys/tls.pem").asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
    expect(key("keys/acme-account.pem").asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
    expect(key("keys/acme-account.pem").equals(key("keys/tls.pem"))).toBe(false);
    for (const name of names.slice(0, 3)) {
      expect(Buffer.from(files.get(name)!).toString()).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
    }
  });

  it.skipIf(process.platform === "win32")(
    "lets nobody but the owner read anything (needs Unix permissions)",
    async () => {
      const directory = join(scratch, "a");
      const before = process.umask(0);
      try {
        await createRelayFolder(directory, "a.example");
      } finally {
        process.umask(before);
      }
      const mode = async (path: string) => ((await lstat(join(directory, path))).mode & 0o7777).toString(8);
      expect(await mode(".")).toBe("700");
      expect(await mode("keys")).toBe("700");
      for (const name of names) expect([name, await mode(name)]).toEqual([name, "600"]);
    },
  );

  it("refuses a second time and leaves the first folder as it was", async () => {
    const directory = join(scratch, "a");
    await createRelayFolder(directory, "a.example");
    const before = await readFile(join(directory, "keys/tls.pem"), "utf8");
    await expect(createRelayFolder(directory, "a.example")).rejects.toThrow(RelayFolderError);
    await expect(createRelayFolder(directory, "a.example")).rejects.toThrow(`${directory} exists already`);
    expect(await readFile(join(directory, "keys/tls.pem"), "utf8")).toBe(before);
    expect(await readdir(scratch)).toEqual(["a"]);
  });

  it("refuses an empty folder and a file at the place too", async () => {
    await mkdir(join(scratch, "empty"));
    await writeFile(join(scratch, "file"), "mine");
    await expect(createRelayFolder(join(scratch, "empty"), "a.example")).rejects.toThrow("exists already");
    await expect(createRelayFolder(join(scratch, "file"), "a.example")).rejects.toThrow("exists already");
    expect(await readFile(join(scratch, "file"), "utf8")).toBe("mine");
  });

  it("speaks of a relay's keys only where there are some", async () => {
    await mkdir(join(scratch, "docs"));
    const refused = createRelayFolder(join(scratch, "docs"), "a.example");
    await expect(refused).rejects.toThrow("docs exists already, and a relay gets a new folder of its own");
  });

  it.skipIf(process.platform !== "linux")("names the place where no folder can be made (/proc)", async () => {
    const refused = createRelayFolder("/proc/relay", "a.example");
    await expect(refused).rejects.toThrow(
      /^the relay folder \/proc\/relay cannot be made: \/proc: [a-z ]+ \(E/,
    );
  });

  it("lets one of two that start at once win and the other fail whole", async () => {
    const directory = join(scratch, "a");
    const results = await Promise.allSettled([1, 2].map(() => createRelayFolder(directory, "a.example")));
    const refused = results.filter((result) => result.status === "rejected");
    expect(refused.map((result) => result.reason)).toEqual([expect.any(RelayFolderError)]);
    expect(await readdir(scratch)).toEqual(["a"]);
    await readRelayFolder(directory);
  });

  it("leaves nothing when it is stopped on the way", async () => {
    const abort = new AbortController();
    const made = createRelayFolder(join(scratch, "a"), "a.example", {}, abort.signal);
    // It always fails: the signal is asked only after the keys, which are made after this line.
    abort.abort("SIGINT");
    await expect(made).rejects.toBe("SIGINT");
    expect(await readdir(scratch)).toEqual([]);
  });

  it("leaves nothing for a wrong domain or wrong settings", async () => {
    await expect(createRelayFolder(join(scratch, "a"), "localhost")).rejects.toThrow(DomainError);
    const wrong = createRelayFolder(join(scratch, "a"), "a.example", { sending: { burst: 0 } });
    await expect(wrong).rejects.toThrow(RelayConfigError);
    expect(await readdir(scratch)).toEqual([]);
  });
});

describe("readRelayFolder", () => {
  it("says how to make a folder that is not there", async () => {
    await expect(readRelayFolder(join(scratch, "none"))).rejects.toThrow(
      `${join(scratch, "none", "relay.toml")} is missing. Make the folder with ./homing init DOMAIN`,
    );
  });

  it("names the file in errors of the settings", async () => {
    await createRelayFolder(join(scratch, "a"), "a.example");
    await writeFile(join(scratch, "a", "relay.toml"), 'domain = "a.example"\ncolor = 1\n');
    await expect(readRelayFolder(join(scratch, "a"))).rejects.toThrow(
      /a[/\\]relay\.toml has one mistake:\n {2}line 2, color: /,
    );
  });

  it.each([
    ["is missing", async (path: string) => await rm(path)],
    ["holds no private key in PEM form", async (path: string) => await writeFile(path, "not a key")],
  ])("says when a key file %s, and to restore it", async (problem, damage) => {
    for (const name of names.slice(0, 3)) {
      const directory = await mkdtemp(join(scratch, "d-"));
      await createRelayFolder(join(directory, "a"), "a.example");
      await chmod(join(directory, "a", name), 0o600);
      await damage(join(directory, "a", name));
      await expect(readRelayFolder(join(directory, "a"))).rejects.toThrow(
        `${join(directory, "a", name)} ${problem}. Put it back`,
      );
    }
  });

  it("refuses another domain than the one the keys were made for", async () => {
    const directory = join(scratch, "a");
    await createRelayFolder(directory, "a.example");
    const settings = await readFile(join(directory, "relay.toml"), "utf8");
    await writeFile(join(directory, "relay.toml"), settings.replace("a.example", "b.example"));
    await expect(readRelayFolder(directory)).rejects.toThrow(
      /relay\.toml names the domain b\.example, but the keys .* were made for a\.example.*init b\.example/,
    );
    // Another spelling of the same domain is no other domain.
    await writeFile(join(directory, "relay.toml"), settings.replace("a.example", "A.example."));
    expect((await readRelayFolder(directory)).config.domain).toBe("a.example");
    await rm(join(directory, "keys/made-for"));
    await readRelayFolder(directory);
  });

  it("tells a file and a folder of something else from a relay folder", async () => {
    await writeFile(join(scratch, "README.md"), "# Mine\n");
    await mkdir(join(scratch, "docs"));
    await expect(readRelayFolder(join(scratch, "README.md"))).rejects.toThrow(
      `${join(scratch, "README.md")} is a file, not a relay folder`,
    );
    await expect(readRelayFolder(join(scratch, "docs"))).rejects.toThrow(
      `relay.toml is missing. So ${join(scratch, "docs")} is no relay folder`,
    );
  });

  it("does not read a file that is far too large for its place", async () => {
    await createRelayFolder(join(scratch, "a"), "a.example");
    await truncate(join(scratch, "a/relay.toml"), 700_000_000);
    await expect(readRelayFolder(join(scratch, "a"))).rejects.toThrow(
      /relay\.toml has 700000000 bytes, at most 65536 are allowed; is it the right file\?/,
    );
  });

  it("refuses keys of the wrong kind", async () => {
    const directory = join(scratch, "a");
    const { files } = await createRelayFolder(directory, "a.example");
    await writeFile(join(directory, "keys/dkim-homing1.pem"), files.get("keys/tls.pem")!);
    await expect(readRelayFolder(directory)).rejects.toThrow("holds a key of type ec; needed is rsa");
  });

  it("takes nothing along that is not the device's business", async () => {
    const directory = join(scratch, "a");
    await createRelayFolder(directory, "a.example");
    await writeFile(join(directory, "keys/admin-ssh"), "secret");
    await writeFile(join(directory, "notes.txt"), "mine");
    expect([...(await readRelayFolder(directory)).files.keys()].sort()).toEqual(names);
  });

  it("follows the selector of the settings to the DKIM key", async () => {
    const directory = join(scratch, "a");
    await createRelayFolder(directory, "a.example", { dkim: { selector: "y2026" } });
    expect([...(await readRelayFolder(directory)).files.keys()]).toContain("keys/dkim-y2026.pem");
  });
});
