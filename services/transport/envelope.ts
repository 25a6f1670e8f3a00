/**
 * Who a message is for, as requests by HTTPS carry it: sorted by domain, in portions that fit, in plain characters. Pure.
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

/** Each recipient once. */
export function byDomain(recipients: readonly string[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const recipient of new Set(recipients)) {
    const domain = domainOf(recipient);
    const group = groups.get(domain);
    if (group === undefined) groups.set(domain, [recipient]);
    else group.push(recipient);
  }
  return groups;
}

export function fitsOneRequest(recipients: readonly string[]): boolean {
  const bytes = recipients.reduce((sum, one) => sum + one.length + "X-MAIL-TO: \r\n".length, 0);
  return recipients.length <= MAX_RECIPIENTS && bytes <= MAX_ENVELOPE_BYTES;
}

export function batchesOf(recipients: readonly string[]): (readonly string[])[] {
  const batches: string[][] = [];
  for (const recipient of recipients) {
    const last = batches.at(-1);
    if (last !== undefined && fitsOneRequest([...last, recipient])) last.push(recipient);
    else batches.push([recipient]);
  }
  return batches;
}
