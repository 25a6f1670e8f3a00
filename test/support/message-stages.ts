/**
 * Where a message's milliseconds went, read from the relays' logs: what test/bench/latency.ts prints. Client
 * and relays share one clock, so their moments compare.
 */
import type { LogEntry, Relay } from "./relay.ts";

/** Moments of one message at the clients, in milliseconds since 1970. */
export type Sending = Readonly<{
  /** MAIL FROM goes out. */
  started: number;
  /** The sender's relay has taken the message. */
  accepted: number;
  /** The recipient's idling client hears of it. */
  arrived: number;
}>;

export type Route = Readonly<{
  from: Relay;
  to: Relay;
  sender: { readonly address: string };
  receiver: { readonly address: string };
}>;

/**
 * Durations of every stage, in milliseconds, in the order of the messages. Throws when the logs do not tell
 * of each message.
 */
export async function stagesOf(sendings: readonly Sending[], route: Route): Promise<[string, number[]][]> {
  const { from, to, sender } = route;
  const between = (earlier: readonly number[], later: readonly number[]) =>
    later.map((time, i) => time - earlier[i]!);
  const started = sendings.map((sending) => sending.started);
  const accepted = sendings.map((sending) => sending.accepted);
  const arrived = sendings.map((sending) => sending.arrived);
  const last = await arrivalAt(to, route, sendings.length);
  const rows: [string, number[]][] = [];
  if (from === to) {
    rows.push(["client → relay: milter, into the queue", between(started, last.queued)]);
  } else {
    const first = timesOf("queued messages", await queueEntries(from, sender.address), sendings.length);
    rows.push(["client → first relay: milter, into the queue", between(started, first)]);
    rows.push(["queue → second relay: connection, envelope", between(first, last.envelope)]);
    rows.push(["second relay: milter, into the queue", between(last.envelope, last.queued)]);
  }
  return [
    ...rows,
    ["queue → mailbox", between(last.queued, last.saved)],
    ["mailbox → idling client", between(last.saved, arrived)],
    ["(accepted by the first relay after)", between(started, accepted)],
    ["**send → arrival**", between(started, arrived)],
  ];
}

/** When the messages passed the stages of the relay that delivers them. */
async function arrivalAt(relay: Relay, { sender, receiver }: Route, count: number) {
  const queue = await queueEntries(relay, sender.address);
  const ids = new Set(queue.map(queueId));
  const envelopes = (await relay.logEntries(/^\w+: client=/)).filter((entry) => ids.has(queueId(entry)));
  const saved = (await relay.logEntries(/^lmtp\(.*saved mail/)).filter((entry) =>
    entry.message.startsWith(`lmtp(${receiver.address})`),
  );
  return {
    envelope: timesOf("accepted envelopes", envelopes, count),
    queued: timesOf("queued messages", queue, count),
    saved: timesOf("deliveries", saved, count),
  };
}

async function queueEntries(relay: Relay, sender: string): Promise<LogEntry[]> {
  const entries = await relay.logEntries(/\(queue active\)/);
  return entries.filter((entry) => entry.message.includes(` from=<${sender}>`));
}

function queueId(entry: LogEntry): string {
  return entry.message.slice(0, entry.message.indexOf(":"));
}

/** The messages went one after the other, so the order of the entries is theirs. */
function timesOf(what: string, entries: readonly LogEntry[], count: number): number[] {
  if (entries.length !== count)
    throw new Error(`the log tells of ${entries.length} ${what}, not of ${count}`);
  return entries.map((entry) => entry.time);
}
