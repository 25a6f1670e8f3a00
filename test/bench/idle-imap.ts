/**
 * What a logged-in, idle IMAP connection costs in memory: the figure behind appliance/files/capacity.ts. Run as root:
 * `node installer/launch.mjs --script test/bench/idle-imap.ts`. Prints a Markdown table; takes two minutes.
 *
 * Opens connections step by step, each of an account of its own with a few messages in its INBOX, lets them idle, and
 * asks the kernel for the memory of Dovecot's processes (proportional set size: what several share counts in parts) and
 * for their page tables. A socket's buffers in the kernel come on top, some 10 kB while nothing is under way.
 */
import { loadavg } from "node:os";
import { makeAccount } from "../support/accounts.ts";
import { openInbox } from "../support/imap-session.ts";
import { currentNamespace } from "../support/namespace.ts";
import { createTestNetwork } from "../support/network.ts";
import type { Relay } from "../support/relay.ts";
import { runWithRelays } from "../support/rootfs.ts";

const STEPS = [50, 150, 300];
const MESSAGES = 5;
const MESSAGE = `From: <a@_a.test>\r\nSubject: ...\r\nContent-Type: multipart/encrypted; boundary=x\r\n\r\n${"x".repeat(5000)}\r\n`;

type Usage = Readonly<{ processes: number; imap: number; unshared: number; others: number; tables: number }>;

async function measure(): Promise<void> {
  await using network = await createTestNetwork("idle-imap");
  // The default allows as many as this machine's memory has room for.
  const relay = await network.startRelay("_a.test");
  await using sessions = new AsyncDisposableStack();
  const usages: Usage[] = [];
  let open = 0;
  console.log(`\nLoad average of this machine: ${loadavg()[0]!.toFixed(1)}\n`);
  console.log(
    "| idle connections | imap processes | their PSS | of it private | rest of Dovecot | page tables |",
  );
  console.log("|---:|---:|---:|---:|---:|---:|");
  for (const target of [0, ...STEPS]) {
    for (; open < target; open++) {
      const account = await makeAccount(relay);
      const session = sessions.use(await openInbox(relay.address, account.address, account.password));
      for (let i = 0; i < MESSAGES; i++)
        await session.command(`APPEND INBOX {${MESSAGE.length}+}\r\n${MESSAGE}`);
      await session.command("SELECT INBOX");
      await session.command("FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)])");
      await session.idle();
    }
    const usage = await usageOf(relay);
    usages.push(usage);
    const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
    const row = [usage.imap, usage.unshared, usage.others, usage.tables].map(megabytes);
    console.log(`| ${target} | ${usage.processes} | ${row.join(" | ")} |`);
  }
  const [first, last] = [usages[1]!, usages.at(-1)!];
  const connections = STEPS.at(-1)! - STEPS[0]!;
  const each = (...names: (keyof Usage)[]) =>
    `${(names.reduce((sum, name) => sum + last[name] - first[name], 0) / connections / 1e6).toFixed(2)} MB`;
  console.log(
    `\nA connection more: ${each("imap", "others", "tables")} in all, ${each("imap")} of it its process, ` +
      `${each("others")} the rest of Dovecot, ${each("tables")} page tables.`,
  );
}

/** Sums over Dovecot's processes, in bytes. */
async function usageOf(relay: Relay): Promise<Usage> {
  const { stdout } = await relay.exec(`
cgroup=/sys/fs/cgroup$(systemctl show --property=ControlGroup --value dovecot.service)
for pid in $(cat $cgroup/cgroup.procs); do
  echo "name $(cat /proc/$pid/comm)"
  cat /proc/$pid/smaps_rollup /proc/$pid/status
done | awk '
  /^name / { imap = $2 == "imap"; processes += imap }
  /^Pss:/ { if (imap) pss += $2; else others += $2 }
  /^Private_(Clean|Dirty):/ { if (imap) own += $2 }
  /^VmPTE:/ { tables += $2 }
  END { print processes + 0, pss * 1024, own * 1024, others * 1024, tables * 1024 }'`);
  const [processes = 0, imap = 0, unshared = 0, others = 0, tables = 0] = stdout
    .trim()
    .split(/\s+/)
    .map(Number);
  return { processes, imap, unshared, others, tables };
}

if (currentNamespace() === undefined)
  process.exitCode = await runWithRelays([process.execPath, import.meta.filename]);
else await measure();
