/**
 * Asks Dovecot whether a message is in somebody's mailbox: one command of doveadm's own protocol
 * (https://doc.dovecot.org/2.4.1/core/admin/doveadm.html) over a socket where nothing but `search` is allowed
 * (appliance/files/dovecot.ts). Called by service.ts.
 */
import { connect } from "node:net";

/** For an answer, milliseconds: a search of a full mailbox reads thousands of headers from a card. */
const ANSWER_LIMIT_MS = 60_000;
/** From version 1.1 on answers come in packets, with pieces of the log between them. */
const GREETING = "VERSION\tdoveadm-server\t1\t0\n";
/** A search answers with an identifier of 32 digits and a number for each message it found. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** No answer, or one that says that nothing can be said. */
export class MailboxLookError extends Error {
  override name = "MailboxLookError";
}

/** @param path of Dovecot's socket. @throws MailboxLookError by what it resolves to. */
export function createMailboxLook(
  path: string,
  answerLimitMs: number = ANSWER_LIMIT_MS,
): (recipient: string, messageId: string) => Promise<boolean> {
  return async (recipient, messageId) => {
    // Accounts and identifiers are plain characters; fields are parted by tabs, commands by line feeds.
    if (/[^\x21-\x7e]/.test(recipient + messageId)) throw new MailboxLookError("not to be asked for");
    const fields = ["", recipient.toLowerCase(), "search", "mailbox", "*", "HEADER", "Message-ID", messageId];
    const answer = await ask(path, `${fields.join("\t")}\n`, answerLimitMs);
    return answer !== "";
  };
}

/** What the command printed. */
function ask(path: string, command: string, limitMs: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect(path);
  const fail = (reason: string) => {
    reject(new MailboxLookError(reason));
    socket.destroy();
  };
  const limit = setTimeout(() => fail("Dovecot does not answer a search"), limitMs);
  let text = "";
  let isWelcome = false;
  socket.write(GREETING);
  socket.on("error", (error) => fail(error.message));
  socket.on("close", () => {
    clearTimeout(limit);
    fail("Dovecot ended a search");
  });
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    // So much is said by finds alone.
    if (text.length > MAX_ANSWER_BYTES) {
      resolve(text);
      socket.destroy();
      return;
    }
    if (!isWelcome) {
      const welcome = /(?:^|\n)([+-])[^\n]*\n/.exec(text);
      if (welcome === null) return;
      if (welcome[1] === "-") {
        fail("Dovecot wants a password for a search");
        return;
      }
      isWelcome = true;
      text = text.slice(welcome.index + welcome[0].length);
      socket.write(command);
    }
    const end = /(?:^|\n)([+-])([^\n]*)\n$/.exec(text);
    if (end === null) return;
    if (end[1] === "-") fail(`Dovecot cannot search: ${end[2]}`);
    else {
      resolve(text.slice(0, end.index));
      socket.end();
    }
  });
  return promise;
}
