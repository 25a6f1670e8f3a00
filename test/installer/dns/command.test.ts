/** `./homing dns` from end to end, against a real name server that takes changes. */
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rfc2136 } from "../../../appliance/dns/providers/rfc2136.ts";
import { command } from "../../../installer/commands/dns.ts";
import { findCredentials } from "../../../installer/dns/credentials.ts";
import { createRelayFolder } from "../../../installer/relay-folder.ts";
import { captureStream, runHoming } from "../../support/command-io.ts";
import { type Knot, missingKnot, startKnot } from "../../support/knot.ts";

const zone = "k.test";
const domain = `chat.${zone}`;
const key = { name: "relay", algorithm: "hmac-sha256", secret: Buffer.alloc(32, "k").toString("base64") };
const foreign = [
  `${domain}. 300 TXT "site=1"`,
  `blog.${zone}. 300 A 22.33.44.55`,
  `www.${domain}. 300 CNAME blog.${zone}.`,
];

describe.skipIf(missingKnot !== undefined)(`./homing dns (${missingKnot ?? "here"})`, () => {
  let home: string;
  let folder: string;
  let credentials: string;
  let knot: Knot;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "homing-dns-command-"));
    folder = join(home, "relay");
    credentials = join(home, "credentials");
    await createRelayFolder(folder, domain);
    knot = await startKnot(home, zone, foreign, [key]);
    await writeFile(
      credentials,
      `# Knot\nserver = ${knot.server}\nzone = ${zone}\nkey_name = ${key.name}\nsecret = ${key.secret}\n`,
      { mode: 0o600 },
    );
  });
  afterAll(async () => {
    await knot?.[Symbol.asyncDispose]();
    await rm(home, { recursive: true });
  });
  const dns = (action: string, target: string, ...more: string[]) =>
    runHoming(["dns", action, target, "--server", knot.server, ...more]);
  const change = (action: string, target: string, ...more: string[]) =>
    dns(action, target, "--provider", "rfc2136", "--credentials", credentials, ...more);
  const address = ["--address", "11.22.33.44", "--address", "2A00:0::44"];

  it("plans, applies, finds all well, changes nothing again, and takes everything back", async () => {
    const before = await dns("check", folder, "--json");
    expect(before.code).toBe(1);

    const plan = await change("plan", folder, ...address);
    expect(plan).toMatchObject({ code: 0, stderr: "" });
    expect(plan.stdout).toContain(`+ ${domain} MX 10 ${domain}.\n`);
    expect(plan.stdout).toContain(`~ www.${domain} CNAME\n    - blog.${zone}.\n    + ${domain}.\n`);

    const asked = await change("apply", folder, ...address);
    expect(asked.code).toBe(1);
    expect(asked.stderr).toContain("--yes");
    expect(await readdir(folder)).not.toContainEqual(expect.stringMatching(/^dns-backup/));

    // A web page needs a yes of its own.
    const unsaid = await change("apply", folder, "--yes", ...address);
    expect(unsaid.code).toBe(1);
    expect(unsaid.stderr).toMatch(/say --replace-website\n$/);

    const applied = await change("apply", folder, "--yes", "--replace-website", ...address);
    expect(applied.stdout).toContain("Every name server shows the relay's records.");
    expect(applied.code).toBe(0);
    expect((await knot.lookups.resolveTxt(domain)).flat().sort()).toEqual(["site=1", "v=spf1 a ~all"]);
    expect(await knot.lookups.resolve4(`blog.${zone}`)).toEqual(["22.33.44.55"]);

    // The addresses are in the folder now.
    const after = await dns("check", folder);
    expect(after.stdout).not.toContain("also leads to");
    expect(after.stdout).toContain("Mail will work.");
    expect(after.code).toBe(0);

    const again = await change("apply", folder, "--yes", ...address);
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining("nothing was changed") });
    const backups = (await readdir(folder)).filter((name) => name.startsWith("dns-backup"));
    expect(backups).toHaveLength(1);

    expect(await readFile(join(folder, backups[0]!), "utf8")).toContain('"finished": true');
    const undone = await change("undo", join(folder, backups[0]!), "--yes");
    expect(undone.stdout).toMatch(/Restored 15 of 15 record sets/);
    expect(undone.code).toBe(0);
    expect(await knot.lookups.resolveTxt(domain)).toEqual([["site=1"]]);
    expect(await knot.lookups.resolveCname(`www.${domain}`)).toEqual([`blog.${zone}`]);
    const { records } = JSON.parse((await dns("check", folder, "--json")).stdout);
    const states = (all: readonly { state: string }[]) => all.map(({ state }) => state).sort();
    expect(states(records).slice(0, 3)).toEqual(["differs", "missing", "missing"]);
    expect(states(records)).not.toContain("ok");
    expect(states(JSON.parse(before.stdout).records)).not.toContain("ok");
    expect((await change("undo", join(folder, backups[0]!), "--yes")).stdout).toContain("nothing to restore");
  });

  it("asks at a terminal for the web page first, then for the change", async () => {
    const at = async (...answers: string[]) => {
      const stdin = Object.assign(new PassThrough(), { isTTY: true });
      const [stdout, stderr] = [captureStream(), captureStream()];
      const left = [...answers];
      // Each line once its question is there.
      stderr.on("written", () => {
        if (/(?:to go on|Type yes): $/.test(stderr.text())) stdin.write(`${left.shift() ?? ""}\r`);
      });
      const signal = new AbortController().signal;
      const args = ["apply", folder, "--provider", "rfc2136", "--credentials", credentials, ...address];
      const code = await command.run([...args, "--server", knot.server], {
        ...{ stdin, stdout, stderr, env: {}, signal },
      });
      return { code, asked: stderr.text(), left };
    };
    const kept = await at("no");
    expect(kept.asked).toContain(
      `A web page at www.${domain} will not be found any more. Type www.${domain}`,
    );
    expect(kept).toMatchObject({ code: 1, left: [], asked: expect.stringContaining("Nothing was changed.") });
    const declined = await at(`www.${domain}`, "no");
    expect(declined).toMatchObject({ code: 1, left: [], asked: expect.stringContaining("Change the zone?") });
    expect(await knot.lookups.resolveCname(`www.${domain}`)).toEqual([`blog.${zone}`]);
  });

  it("prints a zone file that a name server loads and the check finds right", async () => {
    const printed = await dns("zone", folder, ...address);
    expect(printed.code).toBe(0);
    const other = join(home, "other");
    await using server = await startKnot(other, domain, printed.stdout.split("\n"), [key]);
    const checked = await runHoming(["dns", "check", folder, "--server", server.server, ...address]);
    expect(checked.stdout).toContain("Mail will work.");
    expect(checked.code).toBe(0);
  });

  it("prints the records field by field for a provider without an interface", async () => {
    const { stdout, code } = await dns("zone", folder, "--provider", "namecheap", ...address);
    expect(code).toBe(0);
    expect(stdout).toContain("Advanced DNS");
    expect(stdout).toContain("the name without “.k.test”");
    expect(stdout).toMatch(/MX chat\.k\.test: .*\n +Host +chat\n +Value +chat\.k\.test\n +Priority +10\n/);
    expect(stdout).toMatch(/SRV .*\n +Service +_imaps\n +Protocol +_tcp\n +Host +chat\n/);
  });

  it("says so on top, in either form, where no address is known", async () => {
    const words = "Name the relay's public address by --address.\n";
    const fresh = join(home, "fresh");
    await createRelayFolder(fresh, domain);
    expect((await dns("zone", fresh)).stdout.split("\n")[0]).toBe(`; ${words.trim()}`);
    const { stdout } = await dns("zone", fresh, "--provider", "Namecheap");
    expect(stdout.startsWith(words)).toBe(true);
    expect((await dns("zone", fresh, "--provider", "namecheap", ...address)).stdout).not.toContain(words);
  });

  it.each(["nosuch", ""])("refuses to print the fields of the provider “%s”, and names all", async (name) => {
    const { stdout, stderr, code } = await dns("zone", folder, "--provider", name);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(
      /^homing: --provider “.*” is none of Namecheap, .*Vercel, nor of cloudflare, .*“other”/,
    );
  });

  it.each(["other", "desec"])("prints the fields by what holds at most providers for %s", async (name) => {
    const { stdout, code } = await dns("zone", folder, "--provider", name, ...address);
    expect([code, stdout.startsWith("Sign in where the domain was bought")]).toEqual([0, true]);
  });

  it.each<[what: string, args: string[], words: RegExp]>([
    ["no action", ["dns"], /dns needs an action: check, plan/],
    ["another action", ["dns", "destroy", "x.test"], /not “destroy”/],
    ["no target", ["dns", "check"], /needs a relay folder/],
    ["a domain where the keys are needed", ["dns", "plan", "x.test"], /needs the relay's folder/],
    [
      "a folder that is missing",
      ["dns", "apply", "nosuch"],
      /no folder nosuch\. Make it with .\/homing init/,
    ],
    [
      "a server that is none",
      ["dns", "check", "x.test", "--server", "ns1.x.test"],
      /--server needs an IP address/,
    ],
    [
      "a resolver without HTTPS",
      ["dns", "check", "x.test", "--https", "http://x.test"],
      /--https needs a URL/,
    ],
  ])("refuses %s", async (_what, args, words) => {
    const { code, stderr } = await runHoming(args);
    expect(stderr).toMatch(words);
    expect(code).toBe(2);
  });

  it("refuses what is no address, and a file of credentials that others can read", async () => {
    expect((await dns("check", folder, "--address", "home")).stderr).toMatch(/“home” is no IP address/);
    await chmod(credentials, 0o644);
    const { code, stderr } = await change("plan", folder, ...address);
    await chmod(credentials, 0o600);
    expect(stderr).toMatch(/can be read by others .*chmod 600/);
    expect([code, stderr.includes(key.secret)]).toEqual([1, false]);
  });
});

describe("credentials", () => {
  it("come from variables, and what is missing is asked for", async () => {
    const questions: string[] = [];
    const ask = async (question: string, secret: boolean) => {
      questions.push(`${secret} ${question}`);
      return "typed";
    };
    const env = { HOMING_DNS_RFC2136_SERVER: "ns.test", HOMING_DNS_RFC2136_KEY_NAME: " relay " };
    expect(await findCredentials(rfc2136, { env, ask })).toEqual({
      ...{ server: "ns.test", key_name: "relay", zone: "typed", secret: "typed" },
    });
    expect(questions).toEqual([expect.stringMatching(/^false Zone/), expect.stringMatching(/^true Secret/)]);
  });

  it("name the variable when nobody can be asked", async () => {
    await expect(findCredentials(rfc2136, { env: {} })).rejects.toThrow(
      /HOMING_DNS_RFC2136_SERVER.*--credentials/,
    );
  });
});
