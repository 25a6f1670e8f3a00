/**
 * Who a message is for, as requests by HTTPS carry it: in portions that fit, in plain characters. Pure.
 * Called by courier.ts.
 */
import type { HandedMail } from "./intake.ts";

/** Recipients in one request: the other side takes some 8 kB of header (nginx), an address has 254 bytes at most. */
const MAX_RECIPIENTS = 50;
const MAX_ENVELOPE_BYTES = 6000;

/** RFC 5321 §4.1.2 without quotes, §4.1.3, and the names of tests: nothing that a header could be cut with. */
const plainAddress = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@(?:[A-Za-z0-9._-]+|\[[A-Za-z0-9.:]+\])$/;

/** Clients ask for SMTPUTF8 wherever it is offered; what needs it is addresses. */
export function isPlain(mail: Pick<HandedMail, "from" | "to">): boolean {
  return [mail.from, ...mail.to].every((address) => address === "" || plainAddress.test(address));
}

export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf("@") + 1).toLowerCase();
}

export function fitsOneRequest(recipients: readonly string[]): boolean {
  const bytes = recipients.reduce((sum, one) => sum + one.length + "X-MAIL-TO: \r\n".length, 0);
  return recipients.length <= MAX_RECIPIENTS && bytes <= MAX_ENVELOPE_BYTES;
}
