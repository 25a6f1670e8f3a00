/** The first start, which installs the npm packages: without a network, stopped and killed. */
import { once } from "node:events";
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isRunning } from "../../image/packages/process.ts";
import { makeSmallProject, type SmallProject } from "../support/small-project.ts";
import { waitFor } from "../support/wait.ts";

let project: SmallProject;
beforeEach(async () => {
  project = await makeSmallProject();
});
afterEach(() => project[Symbol.asyncDispose]());

const at = (name: string) => join(project.folder, name);
const lockFiles = async () =>
  (await readdir(project.folder)).filter((name) => name.startsWith(".homing-setup"));

const unreachable = [
  "npm error code EAI_AGAIN",
  "npm error request to https://registry.example/-/ping failed, reason: getaddrinfo EAI_AGAIN registry.example",
].join("\n");

describe.skipIf(process.platform === "win32")(
  "the first start without a network (needs a Unix shell)",
  () => {
    beforeEach(() => writeFile(at("npm-ping"), unreachable));

    it("asks npm for no package over a line that is not there, and says what to do", async () => {
      await project.writeNpm('echo "$@" >> npm-calls; echo "npm error code ENOTCACHED" >&2; exit 1');
      const { code, stderr } = await project.homing([], undefined, {
        HTTPS_PROXY: "http://me:secret@proxy.example",
      });
      expect(code).toBe(1);
      expect(stderr).toContain(
        "cannot be reached (request to https://registry.example/-/ping failed, reason: getaddr",
      );
      expect(stderr).toMatch(
        /Check the network connection and the proxy .*\(HTTPS_PROXY\), then run the same command/,
      );
      expect(stderr).not.toMatch(/secret|ENOTCACHED/);
      expect(await project.npmCalls()).toEqual([expect.stringMatching(/^ci .* --offline$/)]);
      expect(await lockFiles()).toEqual([]);
    });

    it("names the mend for an authority that npm does not know", async () => {
      await project.writeNpm("exit 1");
      await writeFile(at("npm-ping"), "npm error code SELF_SIGNED_CERT_IN_CHAIN\n");
      expect((await project.homing([])).stderr).toMatch(
        /\(SELF_SIGNED_CERT_IN_CHAIN\)\. .*npm config set cafile FILE/,
      );
    });

    it("gives up a request that nobody answers, though npm would wait on", async () => {
      const source = await readFile(at("installer/install-packages.mjs"), "utf8");
      expect(source).toContain("PING_LIMIT = 20_000");
      await writeFile(
        at("installer/install-packages.mjs"),
        source.replace("PING_LIMIT = 20_000", "PING_LIMIT = 300"),
      );
      await writeFile(at("bin/npm"), "#!/bin/sh\n[ $1 = ping ] && sleep 60\nexit 1\n");
      expect((await project.homing([])).stderr).toContain(
        "cannot be reached (it did not answer within 0.3 seconds)",
      );
    });

    it("is content with what npm has kept", async () => {
      expect((await project.homing([])).code).toBe(0);
      expect(await project.npmCalls()).toEqual([expect.stringMatching(/ --offline$/)]);
    });

    it("takes an answer for a network, also one that knows no ping", async () => {
      await writeFile(
        at("npm-ping"),
        "npm error code E404\nnpm error 404 Not Found - GET https://r.example/-/ping\n",
      );
      expect((await project.homing([])).code).toBe(0);
      expect(await project.npmCalls()).toEqual([
        expect.stringContaining("--prefer-offline --fetch-retries=3"),
      ]);
    });

    it("says where npm comes from when there is none", async () => {
      await mkdir(at("without-npm"));
      await symlink("/usr/bin/dirname", at("without-npm/dirname"));
      await symlink(process.execPath, at("without-npm/node"));
      const { code, stderr } = await project.homing([], undefined, { PATH: at("without-npm") });
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /npm, which comes with Node\.js .* was not found\. Install it \(Debian: apt install npm\)/,
      );
    });
  },
);

/** Begins a first start; resolves when npm has noted the process ids of itself and of what it started. */
async function startInstalling(npm: string) {
  await project.writeNpm(npm);
  const child = project.start([]);
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ended = once(child, "close").then(([code]) => ({ code: code as number, stderr }));
  await waitFor("npm runs", 20_000, async () => (await readdir(project.folder)).includes("npm-runs"));
  const ids = (await readFile(at("npm-runs"), "utf8")).trim().split(" ").map(Number);
  return { child, ended, ids };
}

const NOTE = "echo $$ $! > npm-runs.new; mv npm-runs.new npm-runs";
const politeNpm = `trap 'echo asked >> npm-signals; kill $!; exit 1' INT TERM HUP; sleep 60 & ${NOTE}; wait`;
// What a shell has start in the background is deaf for Ctrl-C already.
const deafNpm = `trap '' INT TERM HUP; sleep 60 & ${NOTE}; wait; wait`;

describe.skipIf(process.platform === "win32")("a first start that is stopped (needs Unix signals)", () => {
  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("ends npm at %s and gives the lock back, with %i", async (signal, code) => {
    const { child, ended, ids } = await startInstalling(politeNpm);
    process.kill(-child.pid!, signal);
    const { stderr, ...end } = await ended;
    expect(end).toEqual({ code });
    expect(stderr).toMatch(
      /homing: installing the npm packages was stopped\. The same command goes on with it\.\n$/,
    );
    expect(await readFile(at("npm-signals"), "utf8")).toBe("asked\n");
    expect([...ids.filter(isRunning), ...(await lockFiles())]).toEqual([]);
    await project.writeNpm("mkdir -p node_modules");
    expect(await project.homing([])).toMatchObject({ code: 0 });
  });

  it("kills an npm that does not hear, and whatever it started", async () => {
    const { child, ended, ids } = await startInstalling(deafNpm);
    const asked = performance.now();
    child.kill("SIGTERM");
    expect((await ended).code).toBe(143);
    expect(performance.now() - asked).toBeGreaterThan(1500);
    expect([...ids.filter(isRunning), ...(await lockFiles())]).toEqual([]);
  });

  it("does not wait for it at the second Ctrl-C", async () => {
    const { child, ended, ids } = await startInstalling(deafNpm);
    child.kill("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 100));
    const asked = performance.now();
    child.kill("SIGINT");
    expect((await ended).code).toBe(130);
    expect(performance.now() - asked).toBeLessThan(1500);
    expect(ids.filter(isRunning)).toEqual([]);
  });
});

describe.skipIf(process.platform === "win32")(
  "after a first start that was killed (needs Unix signals)",
  () => {
    /** Ends when the test allows, and tells when two are at work. */
    const slowNpm = `mkdir npm-works || touch npm-works-twice; echo "$@" >> npm-calls; ${NOTE}
    while [ ! -e npm-may-end ]; do sleep 0.1; done; rmdir npm-works; mkdir -p node_modules`;

    it("the next one waits for the npm that goes on, and then begins its own", async () => {
      const first = await startInstalling(slowNpm);
      first.child.kill("SIGKILL");
      await once(first.child, "exit");
      const next = project.start([]);
      const ended = once(next, "exit");
      const [told] = await once(next.stderr.setEncoding("utf8"), "data");
      expect(told).toBe(
        `homing: the npm of a start that was killed still works (process ${first.ids[0]}); waiting for its end\n`,
      );
      await writeFile(at("npm-may-end"), "");
      expect((await ended)[0]).toBe(0);
      expect(await project.npmCalls()).toHaveLength(2);
      expect(await readdir(project.folder)).not.toContain("npm-works-twice");
    });

    it.skipIf(process.platform !== "linux")(
      "knows a process id that was given away again (needs /proc)",
      async () => {
        const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
        // Both are this process, which began at another time.
        await writeFile(at(".homing-setup"), `${process.pid} ${boot}:1\n${process.pid} ${boot}:1`);
        expect(await project.homing([])).toMatchObject({ code: 0 });
        expect(await lockFiles()).toEqual([]);
      },
    );
  },
);
