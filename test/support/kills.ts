/**
 * Mail from one relay to another, or to a plain mail server, while the programs of the relays are killed, and a count of
 * what arrived: nothing that was taken may be lost, nothing may arrive twice. Used by test/relay/transport-kills.test.ts
 * and test/bench/kills.ts.
 */
import { setTimeout as delay } from "node:timers/promises";
import { runPaths } from "../../appliance/layout.ts";
import { makeAccount } from "./accounts.ts";
import { openInbox } from "./imap-session.ts";
import { encryptedMail } from "./mail.ts";
import type { PlainMailServer } from "./plain-mail-server.ts";
import type { Relay } from "./relay.ts";
import { openSubmission, type SmtpSession } from "./smtp-session.ts";
import { waitFor } from "./wait.ts";

/** What takes part in a delivery, on either side. */
export const victims = [
  "postfix",
  "dovecot",
  "homing-auth",
  "homing-milter",
  "homing-courier",
  "homing-mux",
  "homing-web",
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

/** A mailbox of a plain mail server, which is killed by nobody: what it takes and does not answer for is SMTP's own. */
export type PlainMailbox = Readonly<{ server: PlainMailServer; name: string; domain: string }>;

export type KillsOptions = Readonly<{
  from: Relay;
  to: Relay | PlainMailbox;
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
/** Until a plain mail server has put away what it took. */
const PLAIN_TIMEOUT = 30_000;
/** Until the last queue is empty. */
const ARRIVAL_TIMEOUT = 180_000;
/** Until the last message is taken. */
const TAKING_TIMEOUT = 60_000;

export async function countThroughKills(options: KillsOptions): Promise<KillsResult> {
  const { from, random, together = 1 } = options;
  const sender = await makeAccount(from);
  const to = await openRecipient(options.to);
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
        ({ code } = await session.send({ from: sender.address, to: [to.address], source }));
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
      const source = (await encryptedMail({ from: sender.address, to: to.address })).replace(
        /^Message-ID: .*$/m,
        `Message-ID: ${id}`,
      );
      const before = offeredAgain;
      let isTaken = await offer(source);
      // What nobody answered for is not offered again to a server that would keep both.
      const isGivenUp = () => to.relay === undefined && offeredAgain > before;
      for (const started = performance.now(); !isTaken && !isGivenUp(); isTaken = await offer(source)) {
        if (performance.now() - started > TAKING_TIMEOUT) throw new Error(`${id} was never taken`);
        await delay(SENDING_PAUSE);
      }
      if (isTaken) taken.push(id);
      await delay(SENDING_PAUSE);
    }
    await session?.[Symbol.asyncDispose]();
  })();
  const killed = new Map<string, number>();
  let kills = 0;
  try {
    const all = [
      ...victims.map((unit) => ({ relay: from, unit, name: `sender ${unit}` })),
      ...victims.flatMap((unit) => (to.relay ? { relay: to.relay, unit, name: `recipient ${unit}` } : [])),
    ].filter(({ name }) => options.only?.test(name) ?? true);
    let waiting: typeof all = [];
    while (kills < options.kills) {
      // On a busy computer programs take long to be back: mail goes through between any two kills.
      const before = taken.length;
      await waitFor("a message is taken", TAKING_TIMEOUT, () => taken.length > before);
      await delay(random() * LONGEST_PEACE);
      if (waiting.length === 0) waiting = shuffled(all, random);
      const next = waiting.splice(0, Math.min(together, options.kills - kills));
      for (const { name } of next) killed.set(name, (killed.get(name) ?? 0) + 1);
      // Left to what it knows, the way by HTTPS would soon not be gone any more.
      if (to.relay === undefined) await from.exec(`rm -f ${runPaths.knownWays}`);
      await Promise.all(next.map(({ relay, unit }) => killAndAwait(relay, unit)));
      kills += next.length;
    }
  } finally {
    stop.abort();
    await sending;
  }
  for (const relay of [from, to.relay]) if (relay !== undefined) await emptyQueue(relay);
  const arrived = await to.messageIds(taken.length);
  const counts = new Map<string, number>();
  for (const id of arrived) counts.set(id, (counts.get(id) ?? 0) + 1);
  return {
    kills,
    killed,
    taken: taken.length,
    offeredAgain,
    arrived: counts.size,
    stopped: (await to.relay?.logEntries(/status=sent .*delivered before/))?.length ?? 0,
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

type Recipient = Readonly<{
  address: string;
  relay: Relay | undefined;
  /** Of all messages in the mailbox, so many at least unless some are lost. */
  messageIds: (count: number) => Promise<string[]>;
}>;

async function openRecipient(to: Relay | PlainMailbox): Promise<Recipient> {
  if ("server" in to) {
    const { server, name, domain } = to;
    const messageIds = async (count: number) => {
      const found = () => server.messages(name);
      // It has a queue of its own; what is lost never comes, and is counted.
      await waitFor(
        `${count} messages at ${domain}`,
        PLAIN_TIMEOUT,
        async () => (await found()).length >= count,
      ).catch(() => {});
      return (await found()).map(messageId);
    };
    return { address: `${name}@${domain}`, relay: undefined, messageIds };
  }
  const account = await makeAccount(to);
  return { address: account.address, relay: to, messageIds: () => mailboxIds(to, account) };
}

async function mailboxIds(
  relay: Relay,
  account: Readonly<{ address: string; password: string }>,
): Promise<string[]> {
  await using inbox = await openInbox(relay.address, account.address, account.password);
  const { untagged } = await inbox.command("FETCH 1:* BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]");
  return untagged.map(messageId).filter((id) => id !== "");
}

function messageId(source: string): string {
  return /^Message-ID: *(\S+)/im.exec(source)?.[1] ?? "";
}
