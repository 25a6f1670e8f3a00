/** The launcher (./homing, installer/launch.mjs), in a small project of its own (test/support/small-project.ts). */
import { execFile, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeSmallProject, type Result, type SmallProject, smallLock } from "../support/small-project.ts";

const fingerprint = createHash("sha256").update(smallLock).digest("hex");

let project: SmallProject;
let small: string;
beforeEach(async () => {
  project = await makeSmallProject();
  small = project.folder;
});
afterEach(() => project[Symbol.asyncDispose]());

const homing: SmallProject["homing"] = (...words) => project.homing(...words);
const npmCalls = () => project.npmCalls();

/** A Node older than 24 in /usr/bin or /usr/local/bin, such as Debian's. */
const oldNode = ["/usr/bin/node", "/usr/local/bin/node"].find((path) => {
  try {
    const major = Number(/^v(\d+)/.exec(execFileSync(path, ["--version"], { encoding: "utf8" }))?.[1]);
    return major >= 20 && major < 24;
  } catch {
    return false;
  }
});

describe.skipIf(process.platform === "win32")("./homing (needs a Unix shell)", () => {
  it("installs what is missing once, then starts the program with all arguments", async () => {
    const first = await homing(["init", "a b", "--dir", "*"]);
    expect(first.code).toBe(0);
    expect(JSON.parse(first.stdout)).toMatchObject({ args: ["init", "a b", "--dir", "*"] });
    expect(JSON.parse(first.stdout)).toMatchObject({ systemAuthorities: "1" });
    expect(first.stderr).toContain("installing the npm packages");
    const second = await homing([]);
    expect(second.stderr).toBe("");
    expect(await npmCalls()).toEqual([expect.stringMatching(/^ci --ignore-scripts /)]);
  });

  it("gives npm a proxy that is written without http:// in the form it takes", async () => {
    const proxies = { HTTPS_PROXY: "proxy.example:3128", http_proxy: "http://other.example:8080" };
    expect(await homing([], undefined, proxies)).toMatchObject({ code: 0 });
    expect(await readFile(join(small, "npm-proxies"), "utf8")).toBe(
      "http://proxy.example:3128 http://other.example:8080\n",
    );
  });

  it("takes over the set-up of a start that was killed", async () => {
    const dead = spawn(process.execPath, ["--version"], { stdio: "ignore" });
    await once(dead, "exit");
    await writeFile(join(small, ".homing-setup"), String(dead.pid));
    const result = await homing(["a"]);
    expect(result.code).toBe(0);
    expect(await npmCalls()).toHaveLength(1);
  });

  it("leaves the removal of a dead start's lock to the one that has begun it", async () => {
    const dead = spawn(process.execPath, ["--version"], { stdio: "ignore" });
    await once(dead, "exit");
    const lockFile = join(small, ".homing-setup");
    await writeFile(lockFile, String(dead.pid));
    // Another start, this process, is just removing it.
    await writeFile(`${lockFile}.removal`, String(process.pid));
    const child = project.start(["a"]);
    const ended = once(child, "exit");
    const [told] = await once(child.stderr.setEncoding("utf8"), "data");
    expect(told).toContain("another start is installing");
    expect(await readFile(lockFile, "utf8")).toBe(String(dead.pid));
    // It has a fresh one of its own now, which must stay its own.
    await writeFile(lockFile, String(process.pid));
    await rm(`${lockFile}.removal`);
    await rm(lockFile);
    expect((await ended)[0]).toBe(0);
    expect(await npmCalls()).toHaveLength(1);
  });

  it("installs only once when many start at the same time and all see the lock of a dead start", async () => {
    const dead = spawn(process.execPath, ["--version"], { stdio: "ignore" });
    await once(dead, "exit");
    await writeFile(join(small, ".homing-setup"), String(dead.pid));
    const results = await Promise.all(Array.from({ length: 6 }, () => homing([])));
    expect(results.map((result) => result.code)).toEqual(Array(6).fill(0));
    expect(await npmCalls()).toHaveLength(1);
    expect((await readdir(small)).filter((name) => name.startsWith(".homing-setup"))).toEqual([]);
  });

  it("installs again when the lock file changed", async () => {
    await homing([]);
    await writeFile(join(small, "package-lock.json"), '{ "name": "other" }');
    await homing([]);
    expect(await npmCalls()).toHaveLength(2);
  });

  it("installs only once when two start at the same time", async () => {
    const results = await Promise.all([homing([]), homing([])]);
    expect(results.map((result) => result.code)).toEqual([0, 0]);
    expect(await npmCalls()).toHaveLength(1);
  });

  it("says what to do when npm fails, and tries again the next time", async () => {
    await writeFile(join(small, "npm-fails"), "");
    const failed = await homing([]);
    expect(failed.code).toBe(1);
    expect(failed.stdout).toBe("");
    expect(failed.stderr).toContain("npm ci ended with code 3");
    expect(failed.stderr).toContain("then run the same command again");
    await rm(join(small, "npm-fails"));
    expect((await homing([])).code).toBe(0);
  });

  it("ends with the program's exit code", async () => {
    expect((await homing(["fail"])).code).toBe(5);
  });

  it.each([
    ["SIGKILL", 137],
    ["SIGSEGV", 139],
    ["SIGTERM", 143],
  ])("ends as a shell says it when %s ended the program", async (signal, code) => {
    expect((await homing(["die", signal])).code).toBe(code);
  });

  it("hands SIGTERM on and waits for the program's clean end", async () => {
    await homing([]);
    const child = project.start(["wait"]);
    await once(child.stdout, "data");
    child.kill("SIGTERM");
    expect((await once(child, "exit"))[0]).toBe(7);
  });

  it("waits at Ctrl-C, which reaches both, until the program has cleaned up", async () => {
    await homing([]);
    const child = project.start(["wait"]);
    await once(child.stdout, "data");
    process.kill(-child.pid!, "SIGINT");
    expect((await once(child, "exit"))[0]).toBe(6);
  });

  it("says what to install when there is no Node.js", async () => {
    const bin = join(small, "without-node");
    await mkdir(bin);
    await symlink("/usr/bin/dirname", join(bin, "dirname"));
    const failed = await new Promise<Result>((resolve) => {
      execFile("/bin/sh", [join(small, "homing")], { env: { PATH: bin } }, (error, stdout, stderr) => {
        resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
      });
    });
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/Node\.js 20 or newer is needed .* apt install nodejs/);
  });

  describe.skipIf(!oldNode)("on an old Node (needs one in /usr/bin)", () => {
    beforeEach(async () => {
      await mkdir(join(small, "node_modules"));
      await writeFile(join(small, "node_modules/.homing-lock-sha256"), fingerprint);
    });

    it("starts the program with the Node that npm brought, first in PATH", async () => {
      const bin = join(small, "node_modules", `node-${process.platform}-${process.arch}`, "bin");
      await mkdir(bin, { recursive: true });
      await symlink(process.execPath, join(bin, "node"));
      const { code, stdout, stderr } = await homing(["--help"], dirname(oldNode!));
      expect([code, stderr]).toEqual([0, ""]);
      const told = JSON.parse(stdout) as { major: number; path: string };
      expect(told.major).toBeGreaterThanOrEqual(24);
      expect(told.path.split(delimiter)[0]).toBe(bin);
    });

    it("says what to install when npm brought none for this machine", async () => {
      const { code, stderr } = await homing(["--help"], dirname(oldNode!));
      expect(code).toBe(1);
      expect(stderr).toMatch(/Node\.js 24\.7 or newer is needed; this is v2\d\./);
    });
  });
});
