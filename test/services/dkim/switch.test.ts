/** The change to the next DKIM key (services/dkim/switch.ts), and how the milter sees it (signing-key.ts). */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, rmdir, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Resolvers } from "../../../appliance/dns/published.ts";
import { dkimPublicKey } from "../../../appliance/dns/records.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { switchWhenPublished } from "../../../services/dkim/switch.ts";
import { createLog } from "../../../services/lib/log.ts";
import { openSigningKeys } from "../../../services/milter/signing-key.ts";
import { nameServers } from "../../appliance/dns/name-servers.ts";
import { waitFor } from "../../support/wait.ts";

const makePem = () =>
  generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({
    type: "pkcs8",
    format: "pem",
  }) as string;
const [first, next] = [makePem(), makePem()];
const name = "homing2._domainkey.a.example";
const has = nameServers.knowing({ [name]: [[`v=DKIM1;p=${dkimPublicKey(next)}`]] });
const lacks = nameServers.knowing({});

let folder: string;
let statePath: string;
let log: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-dkim-"));
  statePath = join(folder, "signing");
  log = [];
});
afterEach(() => rm(folder, { recursive: true }));

const look = (resolvers: Resolvers) =>
  switchWhenPublished({
    ...{ domain: "a.example", selector: "homing2", key: createPublicKey(next), statePath, resolvers },
    log: createLog((line) => log.push(line), false),
  });
const everywhere = nameServers.of("a.example", { "192.0.2.1": has, "192.0.2.2": has });

describe("the next DKIM key", () => {
  it("takes over when every name server has it, and says so once", async () => {
    expect(await look(everywhere)).toBe(true);
    expect(await readFile(statePath, "utf8")).toBe("homing2\n");
    expect((await stat(statePath)).mode & 0o777).toBe(0o644);
    expect(log.join("")).toContain("signs from now on");
    expect(await look(nameServers.of("a.example", { "192.0.2.1": lacks }))).toBe(true);
    expect(log).toHaveLength(1);
    expect(await readdir(folder)).toEqual(["signing"]);
  });

  it("waits while one name server lacks it, and says which", async () => {
    expect(await look(nameServers.of("a.example", { "192.0.2.1": has, "192.0.2.2": lacks }))).toBe(false);
    expect(await readdir(folder)).toEqual([]);
    expect(log.join("")).toContain("ns1.a.example 192.0.2.2: no key");
    expect(log.join("")).not.toContain("192.0.2.1:");
  });

  it("waits while nobody can say which name servers there are", async () => {
    expect(await look(nameServers.of("b.example", {}))).toBe(false);
    expect(await readdir(folder)).toEqual([]);
    expect(log.join("")).toContain("cannot see");
  });

  it("takes over after an earlier one that it follows", async () => {
    await writeFile(statePath, "homing1\n");
    expect(await look(everywhere)).toBe(true);
    expect(await readFile(statePath, "utf8")).toBe("homing2\n");
  });

  it("fails loudly when that cannot be written down", async () => {
    statePath = join(folder, "missing", "signing");
    await expect(look(everywhere)).rejects.toThrow("ENOENT");
  });
});

describe("the key that the milter signs with", () => {
  const open = async (nextSelector: string) => {
    const [keyPath, nextKeyPath] = [join(folder, "first.pem"), join(folder, "next.pem")];
    await writeFile(keyPath, first);
    if (nextSelector !== "") await writeFile(nextKeyPath, next);
    const text = `domain = "a.example"\n[dkim]\nselector = "homing1"\nnext_selector = "${nextSelector}"\n`;
    const config = parseRelayConfig(text, "relay.toml");
    return openSigningKeys({
      config,
      keyPath,
      nextKeyPath,
      statePath,
      log: createLog((line) => log.push(line), false),
    });
  };

  it("is the present one until the next has taken over, and then the next, without a restart", async () => {
    const keys = await open("homing2");
    expect(keys.current()).toMatchObject({ domain: "a.example", selector: "homing1" });
    expect(keys.current().key.equals(createPrivateKey(first))).toBe(true);
    await look(everywhere);
    await waitFor("the next key signs", 10_000, () => keys.current().selector === "homing2");
    expect(keys.current().key.equals(createPrivateKey(next))).toBe(true);
    keys.close();
  });

  it("becomes the next one after all when what is written down could not be read at first", async () => {
    // What the link leads to is in another folder, where nothing is watched.
    const elsewhere = await mkdtemp(join(tmpdir(), "homing-dkim-"));
    const target = join(elsewhere, "signing");
    const keys = await open("homing2");
    try {
      await mkdir(target);
      await symlink(target, statePath);
      await waitFor("the failure is in the log", 10_000, () => log.join("").includes("EISDIR"));
      expect(keys.current().selector).toBe("homing1");
      await rmdir(target);
      await writeFile(target, "homing2\n");
      await waitFor("the next key signs", 10_000, () => keys.current().selector === "homing2");
    } finally {
      keys.close();
      await rm(elsewhere, { recursive: true });
    }
  });

  it("is the next one after a restart, too", async () => {
    await look(everywhere);
    const keys = await open("homing2");
    expect(keys.current().selector).toBe("homing2");
    keys.close();
  });

  it("is the present one when what is written down is of an earlier change", async () => {
    await writeFile(statePath, "homing1\n");
    const keys = await open("homing2");
    expect(keys.current().selector).toBe("homing1");
    keys.close();
  });

  it("is the only one when there is no next, whatever is written down", async () => {
    await writeFile(statePath, "homing2\n");
    expect((await open("")).current().selector).toBe("homing1");
  });

  it("must be there, or the milter does not start", async () => {
    const config = parseRelayConfig('domain = "a.example"', "relay.toml");
    const missing = join(folder, "missing.pem");
    const options = {
      config,
      keyPath: missing,
      nextKeyPath: missing,
      statePath,
      log: createLog(() => {}, false),
    };
    await expect(openSigningKeys(options)).rejects.toThrow(
      /cannot use the DKIM key .*keys\/dkim-homing1\.pem/,
    );
  });
});
