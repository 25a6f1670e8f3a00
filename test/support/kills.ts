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
  /** How often one was offered again, for nobody had answered for it: as clients do, byte for byte. */
  offeredAgain: number;
  arrived: number;
  /** Second tries that the door of the recipient's mailbox stopped. */
  stopped: number;
  lost: readonly string[];
  doubled: readonly string[];
}>;

export type KillsOptions = Readonly<{
  from: Relay;
  to: Relay;
  /** All programs in turn, in an order of chance: as many as there are kill each once. */
  kills: number;
  /** So many at the same time; one unless given. */
  together?: number;
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
/** Until the last message is taken. */
const TAKING_TIMEOUT = 60_000;

export async function countThroughKills(options: KillsOptions): Promise<KillsResult> {
  const { from, to, random, together = 1 } = options;
  const [sender, receiver] = [await makeAccount(from), await makeAccount(to)];
  const taken: string[] = [];
  let offeredAgain = 0;
  const stop = new AbortController();
  const sending = (async () => {
    let session: SmtpSession | undefined;
    /** False when nobody answered for it. */
    const offer = async (source: string): Promise<boolean> => {
      try {
        // Where Postfix is away, nothing is offered.
        session ??= await openSubmission(from.address, sender.address, sender.password);
      } catch {
        return false;
      }
      let code: number;
      try {
        ({ code } = await session.send({ from: sender.address, to: [receiver.address], source }));
      } catch {
        await session[Symbol.asyncDispose]();
        session = undefined;
        offeredAgain++;
        return false;
      }
      if (code >= 500) throw new Error(`a message was refused with ${code}`);
      return code === 250;
    };
    for (let i = 0; !stop.signal.aborted; i++) {
      const id = `<${i}.${sender.address}>`;
      const source = (await encryptedMail({ from: sender.address, to: receiver.address })).replace(
        /^Message-ID: .*$/m,
        `Message-ID: ${id}`,
      );
      for (const started = performance.now(); !(await offer(source)); ) {
        if (performance.now() - started > TAKING_TIMEOUT) throw new Error(`${id} was never taken`);
        await delay(SENDING_PAUSE);
      }
      taken.push(id);
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
    let waiting: typeof all = [];
    while (kills < options.kills) {
      await delay(random() * LONGEST_PEACE);
      if (waiting.length === 0) waiting = shuffled(all, random);
      const next = waiting.splice(0, Math.min(together, options.kills - kills));
      for (const { name } of next) killed.set(name, (killed.get(name) ?? 0) + 1);
      await Promise.all(next.map(({ relay, unit }) => killAndAwait(relay, unit)));
      kills += next.length;
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
    offeredAgain,
    arrived: counts.size,
    stopped: (await to.logEntries(/status=sent .*delivered before/)).length,
    lost: taken.filter((id) => !counts.has(id)),
    doubled: [...counts].filter(([, count]) => count > 1).map(([id]) => id),
  };
}

async function killAndAwait(relay: Relay, unit: string): Promise<void> {
  // Forgotten restarts begin without the pause that grows with them.
  await relay.exec(`systemctl reset-failed ${unit}.service`);
  await relay.exec(`systemctl kill --signal=KILL --kill-whom=all ${unit}.service`);
  await waitFor(`${unit} of ${relay.domain} is back`, BACK_TIMEOUT, async () => {
    const { stdout } = await relay.exec(`systemctl show --property=ActiveState,NRestarts ${unit}.service`);
    return /^ActiveState=active$/m.test(stdout) && /^NRestarts=[1-9]/m.test(stdout);
  });
}

/** Fisher and Yates. */
function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const left = [...items];
  return items.map(() => left.splice(Math.floor(random() * left.length), 1)[0]!);
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
