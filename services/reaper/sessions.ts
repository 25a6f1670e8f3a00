/**
 * Asks Dovecot who has a connection open: `who` of doveadm's own protocol, over a socket where nothing else is of use to
 * anybody (appliance/files/dovecot.ts). https://doc.dovecot.org/2.4.1/core/admin/doveadm.html  Called by main.ts.
 */
import { ConversationError, converse } from "./line-client.ts";

/** From version 1.1 on answers come in packets, with pieces of the log between them. */
const GREETING = "VERSION\tdoveadm-server\t1\t0\n";
/** Name, number of connections, service, processes, addresses. */
const COLUMNS = 5;

/** Addresses with a connection. @throws ConversationError */
export async function readConnected(path: string): Promise<ReadonlySet<string>> {
  await using conversation = converse(path, "Dovecot");
  conversation.say(GREETING);
  for (let line = await conversation.line(); line !== "+"; line = await conversation.line()) {
    if (line.startsWith("-")) throw new ConversationError("Dovecot wants a password to say who is connected");
  }
  conversation.say("\t\twho\n");
  const fields = (await conversation.line()).split("\t");
  const end = await conversation.line();
  if (end !== "+") throw new ConversationError(`Dovecot cannot say who is connected: ${end.slice(0, 200)}`);
  return new Set(fields.filter((name, i) => i % COLUMNS === 0 && name !== ""));
}
