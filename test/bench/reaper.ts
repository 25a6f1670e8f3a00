/**
 * What the daily run costs on a large relay: 10 000 accounts with 20 messages each, all of which are to go; once only
 * looked at (`--dry-run`) and once removed. The program is bundled and started as on the device and asks a real account
 * and a real metadata service; beside it Python does the files alone. Run: `node installer/launch.mjs --script
 * test/bench/reaper.ts [FOLDER] [quick]`, FOLDER being on the disk to be measured (a folder for temporary files). Prints a Markdown
 * table; takes three minutes. "quick" makes a tenth of the accounts.
 */
import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { reaperNode } from "../../appliance/files/reaper.ts";
import { parseRelayConfig } from "../../appliance/relay-config.ts";
import { project } from "../../image/rootfs/root-content.ts";
import { bundlePrograms } from "../../image/rootfs/runtime.ts";
import { createAccountRequests } from "../../services/auth/account-requests.ts";
import { createReaperServer } from "../../services/auth/reaper-server.ts";
import { openAccountStore } from "../../services/auth/store.ts";
import { createLog } from "../../services/lib/log.ts";
import { createDictionary } from "../../services/metadata/dictionary.ts";
import { serveSession } from "../../services/metadata/session.ts";
import { openMetadataStore } from "../../services/metadata/store.ts";
import { runCommand } from "../support/commands.ts";
import { printMedians } from "./tables.ts";

const DAY = 86_400;
const MESSAGES = 20;
const ROUNDS = 3;
/** Made or looked at together. */
const GROUP = 100;

type Result = { removed: number; failures: number; cpu: number; memory: number; seconds: number };

const options = process.argv.slice(2);
const place = options.find((option) => option !== "quick") ?? tmpdir();
const users = options.includes("quick") ? 1_000 : 10_000;
const folder = await mkdtemp(join(place, "homing-reaper-bench-"));
const addresses = Array.from({ length: users }, (_, i) => `u${String(i).padStart(8, "0")}@_a.test`);
const now = Math.floor(Date.now() / 1000);
const log = createLog();

/** `work` for all addresses, a group at a time. */
async function forAll(work: (address: string) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < addresses.length; i += GROUP)
    await Promise.all(addresses.slice(i, i + GROUP).map(work));
}

/** Mailboxes as Dovecot leaves them, half of the messages not yet looked at by their owner; a block each. */
async function fillMailboxes(): Promise<void> {
  await forAll(async (address) => {
    const box = join(folder, "mail", address, "mail");
    for (const part of ["cur", "new", "tmp"]) await mkdir(join(box, part), { recursive: true });
    for (let i = 0; i < MESSAGES; i++) {
      const stamp = now - 30 * DAY - i;
      const name = `${stamp}.M${100_000 + i}P1.homing,S=${5_000 + i},W=${5_100 + i}`;
      const path = join(box, i % 2 === 0 ? `new/${name}` : `cur/${name}:2,S`);
      await writeFile(path, Buffer.alloc(3_500, "x"));
      await utimes(path, stamp, stamp);
    }
  });
}

const commands = (program: string): Record<string, string[]> => ({
  "services/reaper": [process.execPath, ...reaperNode.flags, program, folder],
  Python: ["python3", join(import.meta.dirname, "reaper-rival.py"), folder],
});

async function measure(command: readonly string[], kind: "dry" | "wet"): Promise<Result> {
  const environment = Object.entries(reaperNode.environment).map(([name, value]) => `${name}=${value}`);
  const started = performance.now();
  const { stdout } = await runCommand(["env", ...environment, ...command, kind], { timeout: 600_000 });
  const seconds = (performance.now() - started) / 1000;
  const result = { ...(JSON.parse(stdout) as Omit<Result, "seconds">), seconds };
  if (result.removed !== users * MESSAGES || result.failures > 0)
    throw new Error(`it removed ${result.removed} of ${users * MESSAGES}, ${result.failures} failures`);
  return result;
}

const accountStore = openAccountStore({
  path: join(folder, "accounts.sqlite"),
  writerProgram: new URL("../../services/auth/store-writer.ts", import.meta.url),
  log,
});
const metadataStore = openMetadataStore(join(folder, "metadata.sqlite"), { keepTokenDays: 90 });
const config = parseRelayConfig('domain = "_a.test"', "relay.toml");
const dictionary = createDictionary({ config, store: metadataStore, turn: () => undefined, now: () => now });
const metadata = createServer((socket) => serveSession(socket, { dictionary, log }));
const accounts = createReaperServer({
  accounts: createAccountRequests({ domain: "_a.test", store: accountStore, log }),
  log,
});
try {
  // Old accounts, used yesterday: the last login of each has to be asked for.
  await forAll((address) => accountStore.create(address, "none", now - 400 * DAY));
  const logins = addresses.map((address) => ({ kind: "login", address, time: now - DAY }) as const);
  metadataStore.apply(logins, now);
  await new Promise<void>((resolve) => metadata.listen(join(folder, "metadata.sock"), resolve));
  await new Promise<void>((resolve) => accounts.listen(join(folder, "accounts.sock"), resolve));
  const bundles = await bundlePrograms([{ name: "run", entry: "test/bench/reaper-run.ts" }], project);
  const program = join(folder, "run.mjs");
  await writeFile(program, bundles.get("run")!.content);
  console.log(`\n${users} accounts, load average before: ${loadavg()[0]!.toFixed(1)}\n`);
  const results = new Map<string, Result[]>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, command] of Object.entries(commands(program))) {
      await fillMailboxes();
      // What goes has long been on the disk.
      await runCommand(["sync"], { timeout: 600_000 });
      for (const kind of ["dry", "wet"] as const) {
        const title = `${name}, ${kind === "dry" ? "looking only" : "removing"}`;
        results.set(title, [...(results.get(title) ?? []), await measure(command, kind)]);
      }
    }
  }
  printMedians<Result>(
    [
      ["CPU s", 2, ({ cpu }) => cpu],
      ["seconds", 2, ({ seconds }) => seconds],
      ["memory MB", 0, ({ memory }) => memory],
    ],
    results,
  );
  console.log(`\nLoad average after: ${loadavg()[0]!.toFixed(1)}`);
} finally {
  metadata.close();
  accounts.close();
  accounts.closeAllConnections();
  await accountStore.close();
  metadataStore.close();
  await rm(folder, { recursive: true });
}
