/**
 * Asks services/metadata for last logins, notes some, and has it forget accounts, by the dict protocol that Dovecot speaks
 * with it (services/metadata/protocol.ts says what stands in a line). Called by main.ts.
 */
import type { LastLogins } from "./accounts.ts";
import { type Conversation, ConversationError, converse } from "./line-client.ts";

/** Version 4 of the protocol; names no user. */
const GREETING = "H4\t0\t0\t\tlastlogin\n";
/** In one transaction; the service takes no more. */
const CHANGES = 64;

const sinceKey = "shared/logins-since";
const key = (address: string) => `shared/last-login/${address}`;

export function createLastLogins(path: string): LastLogins {
  const open = (): Conversation => {
    const conversation = converse(path, "the metadata service");
    conversation.say(GREETING);
    return conversation;
  };
  const change = async (addresses: readonly string[], line: (address: string) => string) => {
    if (addresses.length === 0) return;
    await using conversation = open();
    for (let i = 0; i < addresses.length; i += CHANGES) {
      conversation.say(
        `B1\t\t0\n${addresses
          .slice(i, i + CHANGES)
          .map(line)
          .join("")}C1\n`,
      );
      const answer = await conversation.line();
      if (answer !== "O1") throw refused(answer);
    }
  };
  return {
    async since() {
      await using conversation = open();
      conversation.say(`L${sinceKey}\t\n`);
      const answer = await conversation.line();
      if (!/^O\d{1,12}$/.test(answer)) throw refused(answer);
      return Number(answer.slice(1));
    },
    async read(addresses) {
      await using conversation = open();
      conversation.say(addresses.map((address) => `L${key(address)}\t${address}\n`).join(""));
      const days: (number | undefined)[] = [];
      for (const _ of addresses) {
        const answer = await conversation.line();
        if (answer !== "N" && !/^O\d{1,12}$/.test(answer)) throw refused(answer);
        days.push(answer === "N" ? undefined : Number(answer.slice(1)));
      }
      return days;
    },
    note: (addresses, time) => change(addresses, (address) => `S1\t${key(address)}\t${Math.floor(time)}\n`),
    forget: (addresses) => change(addresses, (address) => `U1\t${key(address)}\n`),
  };
}

function refused(answer: string): ConversationError {
  return new ConversationError(`the metadata service answers ${JSON.stringify(answer.slice(0, 200))}`);
}
