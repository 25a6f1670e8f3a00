/** `./homing init` as a user runs it (installer/commands/init.ts). */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { dkimPublicKey } from "../../../appliance/dns/records.ts";
import { readRelayFolder } from "../../../installer/relay-folder.ts";
import { runHoming } from "../../support/command-io.ts";
import { ed25519PublicKeyLine } from "../../support/ssh-key.ts";

const mainFile = join(import.meta.dirname, "../../../installer/main.ts");

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-init-"));
});
afterEach(async () => {
  await rm(scratch, { recursive: true });
});

describe("./homing init", () => {
  it("makes the folder and prints the records with the key that it just made", async () => {
    const directory = join(scratch, "relay");
    const { code, stdout, stderr } = await runHoming(["init", "Chat.Example.org", "--dir", directory]);
    expect([code, stderr]).toEqual([0, ""]);
    const pem = await readFile(join(directory, "keys/dkim-homing1.pem"), "utf8");
    expect(stdout.replaceAll('" "', "")).toContain(`"v=DKIM1;k=rsa;p=${dkimPublicKey(pem)};s=email;t=s"`);
    expect(stdout).toMatch(/^chat\.example\.org\. +3600 IN MX +10 chat\.example\.org\.$/m);
  });

  it("says in words, not by a placeholder, that address records are needed", async () => {
    const { stdout } = await runHoming(["init", "chat.example.org", "--dir", join(scratch, "relay")]);
    expect(stdout).toContain(
      "; chat.example.org. also needs an A record with the relay's public IPv4 address",
    );
    expect(stdout).not.toMatch(/ IN A+ /);
  });

  it("says what to do next, with the folder's name", async () => {
    const directory = join(scratch, "relay");
    const { stdout } = await runHoming(["init", "chat.example.org", "--dir", directory]);
    expect(stdout).toContain(`./homing build ${directory} --target pi`);
  });

  it("says which records take effect only with a later version", async () => {
    const { stdout } = await runHoming(["init", "chat.example.org", "--dir", join(scratch, "relay")]);
    expect(stdout).toMatch(/^; www and the mta-sts records take effect with a later version/m);
    for (const name of ["www", "mta-sts", "_mta-sts"])
      expect(stdout).toContain(`\n${name}.chat.example.org.`);
  });

  it("says plainly that a real domain cannot be chatted on yet, and what can", async () => {
    const warning = /cannot get a certificate .* self-signed one,.*refuse.* test name, .*“_”/s;
    const real = await runHoming(["init", "chat.example.org", "--dir", join(scratch, "real")]);
    expect(real.stdout).toMatch(warning);
    expect(real.stdout).toContain("./homing init _try.test");
    const test = await runHoming(["init", "_try.test", "--dir", join(scratch, "test")]);
    expect(test.stdout).not.toMatch(warning);
  });

  it("fits a terminal of 120 columns but for records", async () => {
    const { stdout } = await runHoming(["init", "chat.example.org", "--dir", join(scratch, "relay")]);
    const lines = stdout.split("\n").filter((line) => !line.includes(" IN ") && !line.includes(scratch));
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(120);
  });

  it("offers to try a test relay at once", async () => {
    const { stdout } = await runHoming(["init", "_try.test", "--dir", join(scratch, "relay")]);
    expect(stdout).toContain(`./homing vm ${join(scratch, "relay")}`);
  });

  it("names the folder after the domain, in the current directory, when --dir is missing", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [mainFile, "init", "bücher.example"], {
      cwd: scratch,
    });
    expect(await readdir(scratch)).toEqual(["xn--bcher-kva.example"]);
    expect(stdout).toContain("./homing build xn--bcher-kva.example --target pi");
  });

  it("writes the administrators' SSH keys into the settings", async () => {
    const keys = [ed25519PublicKeyLine("one@laptop"), ed25519PublicKeyLine("two@desk")];
    await writeFile(join(scratch, "keys.pub"), `# mine\n${keys[0]}\r\n\n${keys[1]}\n`);
    const directory = join(scratch, "relay");
    await runHoming(["init", "a.example", "--dir", directory, "--ssh-key", join(scratch, "keys.pub")]);
    expect((await readRelayFolder(directory)).config.ssh.authorizedKeys).toEqual(keys);
  });

  it.each([
    [
      "a private key",
      "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n",
      "line 1: this is a private key; give the public one",
    ],
    ["nothing", "\n# only a comment\n", "holds no public key"],
    ["something else", "hello\n", "line 1: it must begin with its type"],
  ])("refuses a --ssh-key file that holds %s, and makes nothing", async (_, content, text) => {
    await writeFile(join(scratch, "key"), content);
    const directory = join(scratch, "relay");
    const { code, stderr } = await runHoming([
      "init",
      "a.example",
      "--dir",
      directory,
      "--ssh-key",
      join(scratch, "key"),
    ]);
    expect(code).toBe(1);
    expect(stderr).toContain(text);
    expect(await readdir(scratch)).toEqual(["key"]);
  });

  it("names a --ssh-key file that is not there", async () => {
    const { code, stderr } = await runHoming(["init", "a.example", "--ssh-key", join(scratch, "none.pub")]);
    expect([code, stderr]).toEqual([
      1,
      `homing: ${join(scratch, "none.pub")}: no such file or directory (ENOENT)\n`,
    ]);
  });

  it("refuses a second time, whole", async () => {
    const args = ["init", "a.example", "--dir", join(scratch, "relay")];
    await runHoming(args);
    const before = await readFile(join(scratch, "relay", "keys/tls.pem"), "utf8");
    const { code, stdout, stderr } = await runHoming(args);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("exists already. A relay's keys are never overwritten");
    expect(await readFile(join(scratch, "relay", "keys/tls.pem"), "utf8")).toBe(before);
  });

  it.each([
    [["init"], "init needs the relay's domain"],
    [["init", "a.example", "b.example"], "init takes one domain; what is “b.example”?"],
    [["init", "a.example", "--force"], "Unknown option '--force'"],
  ])("refuses %j as wrong usage", async (args, text) => {
    const { code, stderr } = await runHoming(args);
    expect(code).toBe(2);
    expect(stderr).toContain(text);
    expect(stderr).toContain("Usage: ./homing init DOMAIN");
  });

  it("explains a domain that cannot be a relay's", async () => {
    const { code, stderr } = await runHoming(["init", "192.0.2.7"]);
    expect([code, stderr]).toEqual([
      1,
      "homing: “192.0.2.7” cannot be a relay's domain: it is an IP address; a relay needs a name of its own, like chat.example.org\n",
    ]);
  });

  it("leaves nothing when it is stopped by Ctrl-C", async () => {
    const args = ["init", "a.example", "--dir", join(scratch, "relay")];
    const { code, stderr } = await runHoming(args, AbortSignal.abort("SIGINT"));
    expect([code, stderr]).toEqual([130, "homing: init was stopped.\n"]);
    expect(await readdir(scratch)).toEqual([]);
  });

  it.skipIf(process.platform === "win32")(
    "leaves nothing when the disk refuses a write (needs ulimit)",
    async () => {
      // One block of file size: the settings do not fit, as on a full disk.
      const command = `ulimit -f 1; exec "${process.execPath}" "${mainFile}" init a.example --dir "${join(scratch, "relay")}"`;
      const failed = promisify(execFile)("sh", ["-c", command]);
      await expect(failed).rejects.toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/^homing: .*EFBIG/),
      });
      expect(await readdir(scratch)).toEqual([]);
    },
  );
});
