/** ./homing vm under signals, with a program in QEMU's place that has its console, its control socket and no relay. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const launcher = join(import.meta.dirname, "../../../installer/launch.mjs");

/** Ready at once, the rest of its page a little later. At the power button it takes a while and leaves a mark, or HANGS. */
const machine = `#!${process.execPath}
const socket = process.argv[process.argv.indexOf("-qmp") + 1].replace(/^unix:|,server.*$/g, "");
require("node:net").createServer((client) => {
  client.on("error", () => {});
  client.write('{"QMP": {}}\\r\\n');
  client.on("data", (text) => {
    if (!String(text).includes("system_powerdown")) return;
    client.write('{"event": "POWERDOWN"}\\r\\n');
    if (process.env.HANGS === "yes") return;
    setTimeout(() => {
      require("node:fs").writeFileSync("in-order", "");
      process.exit(0);
    }, 300);
  });
}).listen(socket, () => {
  console.log("homing: ready");
  setTimeout(() => console.log("homing: all services run\\nhoming: what to do next, once:\\nhoming:   1. in the DNS, x"), 100);
});
`;

let folder: string;
let child: ChildProcess | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-stop-vm-"));
  const share = join(folder, "bin", "share");
  await mkdir(share, { recursive: true });
  await writeFile(join(folder, "bin", "qemu-system-x86_64"), machine, { mode: 0o755 });
  for (const name of ["edk2-x86_64-code.fd", "edk2-i386-vars.fd"]) await writeFile(join(share, name), "");
  const image = Buffer.alloc(1024);
  image.write("EFI PART", 512, "latin1");
  await writeFile(join(folder, "a.img"), image);
});
afterEach(async () => {
  child?.kill("SIGKILL");
  await rm(folder, { recursive: true });
});

/** Resolves when the relay is said to be ready; the process group is the launcher's own. */
async function startVm(hangs: boolean) {
  child = spawn(process.execPath, [launcher, "vm", "a.img"], {
    cwd: folder,
    env: {
      ...process.env,
      PATH: `${join(folder, "bin")}${delimiter}${process.env.PATH}`,
      ...(hangs && { HANGS: "yes" }),
    },
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { stderr, pid } = child;
  let told = "";
  let toldBeforeHelp = "";
  const shuttingDown = new Promise<void>((resolve) => {
    stderr!.on("data", (text) => {
      told += text;
      if (told.includes("Shutting the relay down")) resolve();
    });
  });
  const ended = once(child, "exit");
  await Promise.race([
    once(child.stdout!, "data").then(() => {
      toldBeforeHelp = told;
    }),
    ended.then(() => Promise.reject(new Error(`./homing vm ended: ${told}`))),
  ]);
  return { group: pid!, ended, shuttingDown, toldBeforeHelp };
}

describe.skipIf(process.platform === "win32")("./homing vm (needs Unix signals)", () => {
  it.each(["SIGTERM", "SIGINT"] as const)(
    "shuts the machine down in order when %s reaches the whole group",
    async (signal) => {
      const { group, ended } = await startVm(false);
      expect((await readdir(folder)).filter((name) => name.endsWith(".lock"))).toHaveLength(2);
      process.kill(-group, signal);
      expect(await ended).toEqual([0, null]);
      expect(existsSync(join(folder, "in-order"))).toBe(true);
      expect((await readdir(folder)).filter((name) => name.endsWith(".lock"))).toEqual([]);
    },
  );

  it("tells how to get at the relay behind all that its console has to say, and in its place", async () => {
    const { group, ended, toldBeforeHelp } = await startVm(false);
    process.kill(-group, "SIGTERM");
    expect(await ended).toEqual([0, null]);
    expect(toldBeforeHelp.split("\n").filter((line) => line.startsWith("homing:"))).toEqual([
      "homing: ready",
      "homing: all services run",
    ]);
  });

  it("ends a machine that hangs at once, when Ctrl-C comes twice", async () => {
    const { group, ended, shuttingDown } = await startVm(true);
    process.kill(-group, "SIGINT");
    await shuttingDown;
    process.kill(-group, "SIGINT");
    expect(await ended).toEqual([130, null]);
  });
});
