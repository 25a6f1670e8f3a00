/**
 * Gives a message back to Postfix, on a port of its own behind which its SMTP client is the only way on. Called by
 * courier.ts.
 */
import { connect } from "node:net";
import type { Log } from "../lib/log.ts";
import { openSmtpClient, type SmtpMail, type SmtpReply } from "../lib/smtp-client.ts";
import type { HandedMail } from "./intake.ts";

/** The reply for each recipient of `to`. Never throws but for what reading `source` throws. */
export type HandBack = (
  options: Readonly<{ mail: HandedMail; to: readonly string[]; source: SmtpMail["source"] }>,
) => Promise<ReadonlyMap<string, SmtpReply>>;

const unreachable: SmtpReply = {
  code: 451,
  text: "4.3.0 the mail server cannot take it back, trying again later",
};

/** @param options.name in EHLO, by which the mail server knows our Received field and drops it. */
export function createHandBack(
  options: Readonly<{ host: string; port: number; name: string; log: Log }>,
): HandBack {
  return async ({ mail, to, source }) => {
    const parameters = [...(mail.eightBit ? ["BODY=8BITMIME"] : []), ...(mail.utf8 ? ["SMTPUTF8"] : [])];
    try {
      const socket = connect({ host: options.host, port: options.port, noDelay: true });
      const client = await openSmtpClient(socket, {
        name: options.name,
        deliverTo: "accepted",
      });
      const { replies } = await client.send({ from: mail.from, parameters, to, source });
      client.close();
      return new Map(to.map((recipient, i) => [recipient, replies[i]!]));
    } catch (cause) {
      if (mail.source.destroyed) throw cause;
      options.log.warn("cannot hand a message back to the mail server", { cause: String(cause) });
      return new Map(to.map((recipient) => [recipient, unreachable]));
    }
  };
}
