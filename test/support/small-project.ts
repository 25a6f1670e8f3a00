/**
 * A small project of its own around the launcher (./homing, installer/launch.mjs), for tests: nothing is installed into
 * this one. A shell script takes npm's place.
 */
import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import type { Readable } from "node:stream";

const project = join(import.meta.dirname, "../..");
export const smallLock = '{ "name": "small" }';
const mainText = `
if (process.argv[2] === "die") process.kill(process.pid, process.argv[3]);
if (process.argv[2] === "wait") {
  process.on("SIGTERM", () => process.exit(7));
  process.on("SIGINT", () => setTimeout(() => process.exit(6), 100));
  setInterval(() => {}, 1000);
}
const told: string[] = process.argv.slice(2);
console.log(JSON.stringify({ args: told, major: Number(process.versions.node.split(".")[0]), path: process.env.PATH, systemAuthorities: process.env.NODE_USE_SYSTEM_CA }));
if (process.argv[2] === "fail") process.exit(5);
`;

export type Result = { code: number; stdout: string; stderr: string };

export type SmallProject = AsyncDisposable &
  Readonly<{
    folder: string;
    /** An npm that answers a ping with the file npm-ping, if there is one, and whose `npm ci` is this of a shell. */
    writeNpm: (ci: string) => Promise<void>;
    /** What `npm ci` was called with, where the script notes it: a line each of the file npm-calls. */
    npmCalls: () => Promise<string[]>;
    /** Runs ./homing with the given directory of Node first in PATH, behind that of npm. */
    homing: (
      args: readonly string[],
      nodeDirectory?: string,
      environment?: Readonly<Record<string, string>>,
    ) => Promise<Result>;
    /** Starts it in a process group of its own, as a terminal's foreground job has. */
    start: (args: readonly string[]) => ChildProcessByStdio<null, Readable, Readable>;
  }>;

export async function makeSmallProject(): Promise<SmallProject> {
  const folder = await mkdtemp(join(tmpdir(), "homing-launch-"));
  const environment = (nodeDirectory = dirname(process.execPath)) => ({
    ...process.env,
    PATH: [join(folder, "bin"), nodeDirectory, "/usr/bin", "/bin"].join(delimiter),
  });
  async function writeNpm(ci: string): Promise<void> {
    const ping = `if [ "$1" = ping ]; then [ ! -e npm-ping ] && exit 0; cat npm-ping >&2; exit 1; fi`;
    await writeFile(join(folder, "bin/npm"), `#!/bin/sh\n${ping}\n${ci}\n`, { mode: 0o755 });
  }
  await mkdir(join(folder, "installer"));
  await mkdir(join(folder, "bin"));
  await copyFile(join(project, "homing"), join(folder, "homing"));
  await chmod(join(folder, "homing"), 0o755);
  for (const file of ["launch.mjs", "install-packages.mjs", "running-npm.mjs", "setup-lock.mjs"]) {
    await copyFile(join(project, "installer", file), join(folder, "installer", file));
  }
  await writeFile(join(folder, "installer/main.ts"), mainText);
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  await writeFile(join(folder, "package-lock.json"), smallLock);
  await writeNpm(`
    echo "$@" >> npm-calls
    echo "$HTTPS_PROXY $http_proxy" > npm-proxies
    [ -e npm-fails ] && exit 3
    mkdir -p node_modules
  `);
  return {
    folder,
    writeNpm,
    async npmCalls() {
      const calls = await readFile(join(folder, "npm-calls"), "utf8").catch(
        (error: NodeJS.ErrnoException) => {
          if (error.code === "ENOENT") return "";
          throw error;
        },
      );
      return calls.split("\n").filter((line) => line !== "");
    },
    homing: (args, nodeDirectory, more = {}) =>
      new Promise((resolve) => {
        const env = { ...environment(nodeDirectory), ...more };
        execFile(join(folder, "homing"), args, { env }, (error, stdout, stderr) => {
          resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
        });
      }),
    start: (args) =>
      spawn(join(folder, "homing"), args, {
        stdio: ["ignore", "pipe", "pipe"],
        env: environment(),
        detached: true,
      }),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}
