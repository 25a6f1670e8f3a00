/**
 * How much memory an idle relay needs, and that it comes up with little of it: `node installer/launch.mjs
 * --script test/bench/memory.ts`. Boots the vm image in QEMU with 1024 MiB and with 512 MiB and asks the
 * running system over SSH. Needs QEMU, its x86-64 UEFI firmware and an SSH client.
 */
import { execFile } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { buildImage } from "../../image/build.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { readLock } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { createRelayFolder } from "../../installer/relay-folder.ts";
import { consoleLines } from "../../installer/vm/console.ts";
import { freePort, startMachine } from "../../installer/vm/machine.ts";

const run = promisify(execFile);
const SSH_PORT = 22;
const DISK_BYTES = 2 * 2 ** 30;
const READY_MILLISECONDS = 600_000;
const SHUTDOWN_MILLISECONDS = 180_000;
/**
 * Systemd's start-up jobs, the first garbage collections and the canary's first look are over by then, and the thread that
 * made its account has ended.
 */
const IDLE_SECONDS = 240;

const services = ["auth", "milter", "web", "mux", "courier"];

/** Asks on the device: memory in use, proportional set sizes by service, failed units. */
const question = `
sleep ${IDLE_SECONDS}
free -b | awk '/^Mem/ { print "used", $2 - $7; print "total", $2 }'
for unit in ${services.map((name) => `homing-${name}`).join(" ")} dovecot postfix; do
  cgroup=/sys/fs/cgroup/system.slice/$unit.service
  sum=0
  for pid in $(cat $cgroup/cgroup.procs $cgroup/*/cgroup.procs 2>/dev/null); do
    pss=$(awk '/^Pss:/ { print $2 }' /proc/$pid/smaps_rollup 2>/dev/null)
    sum=$((sum + \${pss:-0}))
  done
  echo "pss.$unit $((sum * 1024))"
done
echo "failed $(systemctl list-units --failed --no-legend | wc -l)"
`;

async function main(): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "homing-bench-"));
  try {
    const key = join(work, "key");
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    await chmod(key, 0o600);
    const authorizedKeys = [(await readFile(`${key}.pub`, "utf8")).trim()];
    const rows: Record<string, string>[] = [];
    for (const mebibytes of [1024, 512]) rows.push(await measure(work, key, authorizedKeys, mebibytes));
    console.table(rows);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** One boot of a fresh relay. Throws when it does not become ready or a unit failed. */
async function measure(
  work: string,
  key: string,
  authorizedKeys: string[],
  mebibytes: number,
): Promise<Record<string, string>> {
  const { files } = await createRelayFolder(join(work, `relay-${mebibytes}`), "_bench.test", {
    ssh: { authorizedKeys },
  });
  const image = await buildImage({
    target: "vm",
    spec: rootfsSpec(),
    relay: files,
    out: join(work, `${mebibytes}.img`),
    lock: readLock(),
    cache: defaultCacheDirectory(),
    mirrors: await chooseMirrors({ env: process.env }),
  });
  await truncate(image.path, DISK_BYTES);
  const hostPort = await freePort(0);
  const verdict = Promise.withResolvers<string>();
  const started = performance.now();
  const machine = await startMachine({
    disk: image.path,
    architecture: "amd64",
    memoryMebibytes: mebibytes,
    cores: 2,
    forwards: [{ hostPort, guestPort: SSH_PORT }],
    onConsole: consoleLines((line) => {
      if (/^homing: (ready|NOT READY)/.test(line)) verdict.resolve(line);
    }),
    onNote: (text) => console.error(text),
  });
  const limit = setTimeout(() => verdict.resolve("not ready in time"), READY_MILLISECONDS);
  try {
    const line = await Promise.race([verdict.promise, machine.ended.then(() => "the machine ended")]);
    if (!line.startsWith("homing: ready")) throw new Error(`with ${mebibytes} MiB: ${line}`);
    const seconds = (performance.now() - started) / 1000;
    const answers = await ask(key, hostPort);
    if (answers.get("failed") !== 0)
      throw new Error(`with ${mebibytes} MiB units failed: ${answers.get("failed")}`);
    const megabytes = (name: string) => `${((answers.get(name) ?? Number.NaN) / 1e6).toFixed(0)} MB`;
    return {
      memory: `${mebibytes} MiB`,
      accelerator: machine.accelerator,
      "ready after": `${seconds.toFixed(0)} s`,
      "used when idle": megabytes("used"),
      "our services": `${(services.reduce((sum, name) => sum + (answers.get(`pss.homing-${name}`) ?? Number.NaN), 0) / 1e6).toFixed(0)} MB`,
      ...Object.fromEntries(services.map((name) => [name, megabytes(`pss.homing-${name}`)])),
      dovecot: megabytes("pss.dovecot"),
      postfix: megabytes("pss.postfix"),
    };
  } finally {
    clearTimeout(limit);
    await machine.shutDown(SHUTDOWN_MILLISECONDS);
  }
}

async function ask(key: string, port: number): Promise<Map<string, number>> {
  const { stdout } = await run(
    "ssh",
    [
      ...["-i", key, "-p", String(port), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"],
      ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"],
      ...["-o", "ConnectTimeout=60", "root@127.0.0.1", question],
    ],
    { timeout: (IDLE_SECONDS + 180) * 1000 },
  );
  return new Map(
    stdout
      .trim()
      .split("\n")
      .map((line): [string, number] => {
        const [name, value] = line.split(" ");
        return [name!, Number(value)];
      }),
  );
}

await main();
