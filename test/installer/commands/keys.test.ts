/** `./homing keys` as a user runs it, and the change of DKIM keys in a folder (installer/dkim-rotation.ts). */
import { createPrivateKey, createPublicKey } from "node:crypto";
import { lstat, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { dkimPublicKey } from "../../../appliance/dns/records.ts";
import { beginRotation, endRotation } from "../../../installer/dkim-rotation.ts";
import { createRelayFolder, readRelayFolder } from "../../../installer/relay-folder.ts";
import { nameServers } from "../../appliance/dns/name-servers.ts";
import { runHoming } from "../../support/command-io.ts";

let scratch: string;
let folder: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-keys-"));
  folder = join(scratch, "relay");
  await createRelayFolder(folder, "chat.example.org");
});
afterEach(() => rm(scratch, { recursive: true }));

const pem = (selector: string) => readFile(join(folder, `keys/dkim-${selector}.pem`), "utf8");
const settings = () => readFile(join(folder, "relay.toml"), "utf8");
const dkim = async () => (await readRelayFolder(folder)).config.dkim;
const record = async (selector: string) =>
  `v=DKIM1;k=rsa;p=${dkimPublicKey(await pem(selector))};s=email;t=s`;

describe("./homing keys rotate-dkim", () => {
  it("makes the next key beside the first and prints both records", async () => {
    const before = { first: await pem("homing1"), settings: await settings() };
    const { code, stdout, stderr } = await runHoming(["keys", "rotate-dkim", folder]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(`Made the next DKIM key ${folder}/keys/dkim-homing2.pem.`);
    for (const selector of ["homing1", "homing2"]) {
      expect(stdout.replaceAll('" "', "")).toContain(await record(selector));
    }
    expect(await pem("homing1")).toBe(before.first);
    expect(createPrivateKey(await pem("homing2")).asymmetricKeyDetails?.modulusLength).toBe(2048);
    expect(await settings()).toBe(before.settings.replace('next_selector = ""', 'next_selector = "homing2"'));
    expect([...(await readRelayFolder(folder)).files.keys()]).toContain("keys/dkim-homing2.pem");
    expect((await readdir(folder)).sort()).toEqual(["dns-records.txt", "keys", "relay.toml"]);
    expect(await readFile(join(folder, "dns-records.txt"), "utf8")).toContain("homing2._domainkey.");
  });

  it.skipIf(process.platform === "win32")(
    "shows the new key to nobody else (needs Unix permissions)",
    async () => {
      await runHoming(["keys", "rotate-dkim", folder]);
      for (const name of ["keys/dkim-homing2.pem", "relay.toml"]) {
        expect((await lstat(join(folder, name))).mode & 0o777).toBe(0o600);
      }
    },
  );

  it("changes nothing when it is called again, and prints the same records", async () => {
    await runHoming(["keys", "rotate-dkim", folder]);
    const before = [await pem("homing2"), await settings()];
    const { code, stdout } = await runHoming(["keys", "rotate-dkim", folder]);
    expect(code).toBe(0);
    expect(stdout).toContain("nothing was changed");
    expect(stdout.replaceAll('" "', "")).toContain(await record("homing2"));
    expect([await pem("homing2"), await settings()]).toEqual(before);
  });

  it("carries on with the key of a run that was stopped before it changed the settings", async () => {
    const before = await settings();
    await beginRotation(folder);
    const made = await pem("homing2");
    await writeFile(join(folder, "relay.toml"), before);
    await writeFile(join(folder, "keys/dkim-homing3.pem.1.new"), "half a k");
    expect(await beginRotation(folder)).toMatchObject({ outcome: "found" });
    expect(await pem("homing2")).toBe(made);
    expect(await dkim()).toEqual({ selector: "homing1", nextSelector: "homing2" });
  });

  it("carries on when it was stopped while it wrote the key", async () => {
    await writeFile(join(folder, "keys/dkim-homing2.pem.1.new"), "half a k");
    expect(await beginRotation(folder)).toMatchObject({ outcome: "made" });
    expect(createPublicKey(await pem("homing2")).asymmetricKeyType).toBe("rsa");
    expect((await readdir(join(folder, "keys"))).filter((name) => name.endsWith(".new"))).toEqual([]);
  });

  it("never takes a file for a key that is none, nor replaces it", async () => {
    await writeFile(join(folder, "keys/dkim-homing2.pem"), "mine");
    const before = await settings();
    const { code, stderr } = await runHoming(["keys", "rotate-dkim", folder]);
    expect(code).toBe(1);
    expect(stderr).toContain("dkim-homing2.pem holds no private key");
    expect([await pem("homing2"), await settings()]).toEqual(["mine", before]);
  });

  it("makes one key when two run at once", async () => {
    const results = await Promise.allSettled([beginRotation(folder), beginRotation(folder)]);
    expect(results.some(({ status }) => status === "fulfilled")).toBe(true);
    expect(await dkim()).toEqual({ selector: "homing1", nextSelector: "homing2" });
    expect((await readdir(join(folder, "keys"))).filter((name) => name.startsWith("dkim"))).toEqual([
      "dkim-homing1.pem",
      "dkim-homing2.pem",
    ]);
  });

  it.each([
    ["y2026", "y2027"],
    ["mail", "mail2"],
    ["k-9", "k-10"],
  ])("calls the key after %s %s", async (selector, next) => {
    folder = join(scratch, selector);
    await createRelayFolder(folder, "chat.example.org", { dkim: { selector } });
    await beginRotation(folder);
    expect(await dkim()).toEqual({ selector, nextSelector: next });
  });

  it("leaves settings that it cannot change safely to their owner", async () => {
    const text = (await settings())
      .replace(/^\[dkim\][^[]*/m, "")
      .replace(/^/, 'dkim = { selector = "homing1" }\n');
    await writeFile(join(folder, "relay.toml"), text);
    const { code, stderr } = await runHoming(["keys", "rotate-dkim", folder]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("by hand")]);
    expect(await settings()).toBe(text);
  });

  it("answers programs with --json", async () => {
    const { stdout } = await runHoming(["keys", "rotate-dkim", folder, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      outcome: "made",
      domain: "chat.example.org",
      dkim: [
        { selector: "homing1", state: "present", record: { type: "TXT", text: await record("homing1") } },
        { selector: "homing2", state: "next", record: { name: "homing2._domainkey.chat.example.org" } },
      ],
    });
    expect(stdout).not.toContain("PRIVATE");
  });
});

describe("./homing keys retire-dkim", () => {
  /** A name server that has the keys of these selectors. */
  const zone = async (...selectors: string[]) => {
    const answers: Record<string, string[][]> = {};
    for (const each of selectors) answers[`${each}._domainkey.chat.example.org`] = [[await record(each)]];
    return nameServers.knowing(answers);
  };

  it("keeps the old key while a name server lacks the new one", async () => {
    await beginRotation(folder);
    const before = [await pem("homing1"), await settings()];
    const servers = { "192.0.2.1": await zone("homing1", "homing2"), "192.0.2.2": await zone("homing1") };
    const resolvers = nameServers.of("example.org", servers);
    await expect(endRotation(folder, resolvers)).rejects.toThrow(
      /still signs with homing1.*\n.*192\.0\.2\.1: published\n.*192\.0\.2\.2: no key/,
    );
    expect([await pem("homing1"), await settings()]).toEqual(before);
  });

  it("makes the new key the only one when all name servers have it", async () => {
    await beginRotation(folder);
    const resolvers = nameServers.of("example.org", { "192.0.2.1": await zone("homing1", "homing2") });
    expect(await endRotation(folder, resolvers)).toMatchObject({ retired: "homing1" });
    expect(await dkim()).toEqual({ selector: "homing2", nextSelector: "" });
    expect((await readdir(join(folder, "keys"))).filter((name) => name.startsWith("dkim"))).toEqual([
      "dkim-homing2.pem",
    ]);
  });

  it("says how long the old record has to stay, and does not print it any more", async () => {
    await beginRotation(folder);
    const old = await record("homing1");
    const { code, stdout } = await runHoming(["keys", "retire-dkim", folder, "--unchecked"]);
    expect(code).toBe(0);
    expect(stdout).toContain("Leave the record of homing1 in the DNS for 3 more days");
    expect(stdout.replaceAll('" "', "")).toContain(await record("homing2"));
    expect(stdout.replaceAll('" "', "")).not.toContain(old);
    await beginRotation(folder);
    expect(await dkim()).toEqual({ selector: "homing2", nextSelector: "homing3" });
  });

  it("refuses to remove the only key", async () => {
    const { code, stderr } = await runHoming(["keys", "retire-dkim", folder, "--unchecked"]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("has one DKIM key, homing1")]);
    await pem("homing1");
  });
});

describe("./homing keys show", () => {
  it("prints all records, those of both keys while there are two", async () => {
    const one = await runHoming(["keys", "show", folder]);
    expect(one.stdout).toContain("The DKIM key of chat.example.org is homing1.");
    expect(one.stdout).toMatch(/IN MX +10 chat/);
    await beginRotation(folder);
    const two = await runHoming(["keys", "show", folder]);
    for (const selector of ["homing1", "homing2"]) {
      expect(two.stdout.replaceAll('" "', "")).toContain(await record(selector));
    }
    const data = JSON.parse((await runHoming(["keys", "show", folder, "--json"])).stdout);
    expect(data.dkim).toHaveLength(2);
    expect(data.records.length).toBeGreaterThan(10);
  });
});

it.each([
  [["keys"], "keys needs an action: show, rotate-dkim, retire-dkim"],
  [["keys", "rotate", "x"], "not “rotate”"],
  [["keys", "toString", "x"], "not “toString”"],
  [["keys", "show"], "keys show needs the relay's folder"],
  [["keys", "show", "a", "b"], "what is “b”?"],
  [["keys", "show", "a", "--unchecked"], "--unchecked goes with retire-dkim only"],
])("./homing %j is refused as wrong usage", async (args, text) => {
  const { code, stderr } = await runHoming(args);
  expect([code, stderr]).toEqual([2, expect.stringContaining(text)]);
});
