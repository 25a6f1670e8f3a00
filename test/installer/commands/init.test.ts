/** `./homing init` as a user runs it (installer/commands/init.ts). */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
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

  it("shows which record waits for the address, in a form that zone files have", async () => {
    const { stdout } = await runHoming(["init", "chat.example.org", "--dir", join(scratch, "relay")]);
    expect(stdout).toMatch(
      /^; required\nchat\.example\.org\. +3600 IN A +192\.0\.2\.1 ; put your public IPv4 address here$/m,
    );
    expect(stdout).toMatch(/^; .* IN AAAA ADDRESS$/m);
  });

  it("prints commands that take a folder with a space in its name as one word", async () => {
    const directory = join(scratch, "my relay");
    const { stdout } = await runHoming(["init", "_a.test", "--dir", directory]);
    const quote = process.platform === "win32" ? '"' : "'";
    for (const verb of ["vm", "build"])
      expect(stdout).toContain(`./homing ${verb} ${quote}${directory}${quote}`);
    const missing = join(scratch, "no relay");
    const { stderr } = await runHoming(["build", missing, "--target", "vm"]);
    expect(stderr).toContain(`./homing init DOMAIN --dir ${quote}${missing}${quote}`);
  });

  it("leaves the records in the folder, for everybody to read", async () => {
    const directory = join(scratch, "relay");
    const { stdout } = await runHoming(["init", "chat.example.org", "--dir", directory]);
    const text = await readFile(join(directory, "dns-records.txt"), "utf8");
    const records = text.slice(text.indexOf("; required"));
    expect(stdout).toContain(records);
    expect(stdout).toContain(`\n${join(directory, "dns-records.txt")}\n`);
    expect(records.split("\n").filter((line) => line.includes(" IN ")).length).toBeGreaterThan(10);
    if (process.platform !== "win32")
      expect((await stat(join(directory, "dns-records.txt"))).mode & 0o777).toBe(0o644 & ~process.umask());
  });

  it.skipIf(!existsSync("/dev/full"))(
    "says so in one line when nothing can be printed (/dev/full)",
    async () => {
      const directory = join(scratch, "relay");
      const command = `exec "${process.execPath}" "${mainFile}" init a.example --dir "${directory}" > /dev/full`;
      await expect(promisify(execFile)("sh", ["-c", command])).rejects.toMatchObject({
        code: 1,
        stderr: `homing: the relay folder ${directory} is made, but what there is to say cannot be printed (ENOSPC). Its DNS records are in ${join(directory, "dns-records.txt")}.\n`,
      });
      await readRelayFolder(directory);
      expect(await readFile(join(directory, "dns-records.txt"), "utf8")).toContain("v=DKIM1");
    },
  );

  it("says what to do next, with the folder's name", async () => {
    const directory = join(scratch, "relay");
    const { stdout } = await runHoming(["init", "chat.example.org", "--dir", directory]);
    expect(stdout).toContain(`./homing build ${directory} --target pi`);
  });

  it("lists the names of the certificate among the records that are required", async () => {
    const { stdout } = await runHoming(["init", "chat.example.org", "--dir", join(scratch, "relay")]);
    const required = stdout.split("; recommended")[0]!;
    for (const name of ["www", "mta-sts"]) expect(required).toContain(`\n${name}.chat.example.org.`);
  });

  it("says plainly that nobody certifies a name that can never be public, and what can be tried", async () => {
    const warning = /can never be a public name.*No certificate authority.*refuse.* test name, .*“_”/s;
    const special = await runHoming(["init", "chat.home.arpa", "--dir", join(scratch, "special")]);
    expect(special.stdout).toMatch(warning);
    expect(special.stdout).toContain("./homing init _try.test");
    for (const domain of ["_try.test", "chat.a-friend.net"]) {
      const { stdout } = await runHoming(["init", domain, "--dir", join(scratch, domain)]);
      expect(stdout).not.toMatch(/Mind:/);
    }
  });

  it("fits a terminal of 80 columns but for records", async () => {
    const { stdout } = await runHoming(["init", "chat.example.org", "--dir", join(scratch, "relay")]);
    const lines = stdout.split("\n").filter((line) => !line.includes(" IN ") && !line.includes(scratch));
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80);
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

  it("refuses a --ssh-key that is a folder, and one that is far too large, by name", async () => {
    const large = join(scratch, "large");
    await writeFile(large, "");
    await truncate(large, 5_000_000);
    for (const [path, text] of [
      [scratch, `${scratch} is a folder; needed is the file of a public key`],
      [large, `${large} has 5000000 bytes; that is no file of public keys`],
    ] as const) {
      const { code, stderr } = await runHoming([
        "init",
        "a.example",
        "--dir",
        join(scratch, "r"),
        "--ssh-key",
        path,
      ]);
      expect([code, stderr]).toEqual([1, expect.stringContaining(text)]);
    }
  });

  it("says of names that can never be public what they are", async () => {
    const shown = async (domain: string) =>
      (await runHoming(["init", domain, "--dir", join(scratch, domain)])).stdout;
    expect(await shown("relay.home.local")).toContain("“.local” is set aside for other uses (RFC 6762)");
    expect(await shown("chat.example.org")).toContain(
      "“.example.org” is there for examples (RFC 6761): give your own domain instead.",
    );
    expect(await shown("chat.bücher.museum")).not.toContain("never be a public name");
    expect(await shown("_a.test")).not.toContain("never be a public name");
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
    [["init", "a.example", "--dir", ""], "--dir needs the name of a folder"],
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
