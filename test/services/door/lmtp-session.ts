/** Mail as Postfix hands it over by LMTP (RFC 2033): a reply for each recipient after the message. */
import { connect } from "node:net";
import type { SmtpMail } from "../../../services/lib/smtp-client.ts";
import { createLineReader } from "../../support/line-reader.ts";
import { readReply, type SmtpReply } from "../../support/smtp-reply.ts";

export type LmtpSession = Readonly<{
  /** A reply for each recipient, in order. The pieces of the source are whole lines. Throws when the service goes away. */
  send: (mail: SmtpMail) => Promise<{ replies: readonly SmtpReply[] }>;
  destroy: () => void;
}>;

export async function openLmtp(path: string): Promise<LmtpSession> {
  const socket = connect(path);
  const reader = createLineReader("the LMTP server");
  reader.attach(socket);
  const reply = () => readReply(reader);
  const must = async (code: number): Promise<void> => {
    const heard = await reply();
    if (heard.code !== code) throw new Error(`${code} expected: ${heard.code} ${heard.text}`);
  };
  await must(220);
  socket.write("LHLO postfix.test\r\n");
  await must(250);
  return {
    send: async ({ from, parameters = [], to, source }) => {
      socket.write(`${[`MAIL FROM:<${from}>`, ...parameters].join(" ")}\r\n`);
      await must(250);
      const replies: SmtpReply[] = [];
      for (const recipient of to) {
        socket.write(`RCPT TO:<${recipient}>\r\n`);
        replies.push(await reply());
      }
      socket.write("DATA\r\n");
      await must(354);
      for await (const piece of source)
        socket.write(Buffer.from(piece).toString("latin1").replaceAll(/^\./gm, ".."), "latin1");
      socket.write(".\r\n");
      for (const [i, { code }] of replies.entries()) if (code === 250) replies[i] = await reply();
      return { replies };
    },
    destroy: () => socket.destroy(),
  };
}
