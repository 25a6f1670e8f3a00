/**
 * Mail from one relay to another while the programs of both are killed, and a count of what arrived: nothing that was
 * taken may be lost, nothing may arrive twice. Used by test/relay/transport-kills.test.ts and test/bench/kills.ts.
 */
import { setTimeout as delay } from "node:timers/promises";
import { makeAccount } from "./accounts.ts";
import { openInbox } from "./imap-session.ts";
import { encryptedMail } from "./mail.ts";
import type { Relay } from "./relay.ts";
import { openSubmission, type SmtpSession } from "./smtp-session.ts";
import { waitFor } from "./wait.ts";

/** What takes part in a delivery, on either side. */
export const victims = [
  "postfix",
  "dovecot",
  "homing-auth",
  "homing-milter",
  "homing-transport",
  "homing-mux",
  "homing-web",
  "homing-door",
] as const;

export type KillsResult = Readonly<{
  kills: number;
  /** How often each program was killed, by "sender" or "recipient" and its name. */
  killed: ReadonlyMap<string, number>;
  /** Messages that the first relay said it has. */
  taken: number;
  /** Those whose taking nobody answered for: they may arrive or not. */
  unanswered: number;
  arrived: number;
  /** Second tries that the door of the recipient's mailbox stopped. */
  stopped: number;
  lost: readonly string[];
  doubled: readonly string[];
}>;

export type KillsOptions = Readonly<{
  from: Relay;
  to: Relay;
  kills: number;
  /** Numbers in [0, 1): which program, and when. */
  random: () => number;
  /** Which programs are killed, by names as in `killed`; all unless given. */
  only?: RegExp;
}>;

/** Between two messages of the sender, milliseconds: some are always on their way. */
const SENDING_PAUSE = 40;
/** A kill comes so long after the last killed program is back, at most. Milliseconds. */
const LONGEST_PEACE = 600;
const BACK_TIMEOUT = 60_000;
/** Until the last queue is empty. */
const ARRIVAL_TIMEOUT = 180_000;

export async function countThroughKills(options: KillsOptions): Promise<KillsResult> {
  const { from, to, random } = options;
  const [sender, receiver] = [await makeAccount(from), await makeAccount(to)];
  const taken: string[] = [];
  const unanswered: string[] = [];
  const stop = new AbortController();
  const sending = (async () => {
    let session: SmtpSession | undefined;
    for (let i = 0; !stop.signal.aborted; i++) {
      const id = `<${i}.${sender.address}>`;
      const source = (await encryptedMail({ from: sender.address, to: receiver.address })).replace(
        /^Message-ID: .*$/m,
        `Message-ID: ${id}`,
      );
      try {
        session ??= await openSubmission(from.address, sender.address, sender.password);
      } catch {
        // Postfix is away: nothing was offered.
        await delay(SENDING_PAUSE);
        continue;
      }
      try {
        const { code } = await session.send({ from: sender.address, to: [receiver.address], source });
        if (code === 250) taken.push(id);
        else if (code >= 500) throw new Error(`a message was refused with ${code}`);
      } catch (error) {
        if (error instanceof Error && error.message.startsWith("a message was refused")) throw error;
        unanswered.push(id);
        await session[Symbol.asyncDispose]();
        session = undefined;
      }
      await delay(SENDING_PAUSE);
    }
    await session?.[Symbol.asyncDispose]();
  })();
  const killed = new Map<string, number>();
  let kills = 0;
  try {
    const all = [
      ...victims.map((unit) => ({ relay: from, unit, name: `sender ${unit}` })),
      ...victims.map((unit) => ({ relay: to, unit, name: `recipient ${unit}` })),
    ].filter(({ name }) => options.only?.test(name) ?? true);
    for (; kills < options.kills; kills++) {
      await delay(random() * LONGEST_PEACE);
      const { relay, unit, name } = all[Math.floor(random() * all.length)]!;
      killed.set(name, (killed.get(name) ?? 0) + 1);
      // Forgotten restarts begin without the pause that grows with them.
      await relay.exec(`systemctl reset-failed ${unit}.service`);
      await relay.exec(`systemctl kill --signal=KILL --kill-whom=all ${unit}.service`);
      await waitFor(`${unit} of ${relay.domain} is back`, BACK_TIMEOUT, async () => {
        const { stdout } = await relay.exec(
          `systemctl show --property=ActiveState,NRestarts ${unit}.service`,
        );
        return /^ActiveState=active$/m.test(stdout) && /^NRestarts=[1-9]/m.test(stdout);
      });
    }
  } finally {
    stop.abort();
    await sending;
  }
  for (const relay of [from, to]) await emptyQueue(relay);
  const arrived = await messageIds(to, receiver);
  const counts = new Map<string, number>();
  for (const id of arrived) counts.set(id, (counts.get(id) ?? 0) + 1);
  return {
    kills,
    killed,
    taken: taken.length,
    unanswered: unanswered.length,
    arrived: counts.size,
    stopped: (await to.logEntries(/status=sent .*delivered before/)).length,
    lost: taken.filter((id) => !counts.has(id)),
    doubled: [...counts].filter(([, count]) => count > 1).map(([id]) => id),
  };
}

/** Has everything tried again at once, until nothing is left. */
async function emptyQueue(relay: Relay): Promise<void> {
  await waitFor(`the queue of ${relay.domain} is empty`, ARRIVAL_TIMEOUT, async () => {
    await relay.exec("postqueue -f");
    return (await relay.exec("postqueue -j")).stdout.trim() === "";
  });
}

async function messageIds(
  relay: Relay,
  account: Readonly<{ address: string; password: string }>,
): Promise<string[]> {
  await using inbox = await openInbox(relay.address, account.address, account.password);
  const { untagged } = await inbox.command("FETCH 1:* BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]");
  return untagged.flatMap((item) => /^Message-ID: *(\S+)/im.exec(item)?.[1] ?? []);
}
