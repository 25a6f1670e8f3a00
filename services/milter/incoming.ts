/**
 * What may enter: the rules for mail from other servers (one From, end-to-end encrypted or a delivery report,
 * a valid DKIM signature of the From domain). Mail that claims to be from our own domain is asked for the same:
 * our accounts submit theirs, and that never comes this way. Called by session.ts for the daemon `mx`.
 */
import {
  type Address,
  canonicalIp,
  formatAddress,
  literalAddress,
  parseEnvelope,
  parseFrom,
  sameAddress,
} from "./address.ts";
import { createDkimVerifier, type DkimResult, type DkimVerifier } from "./dkim-verify.ts";
import { createHeaderList, fromBinary } from "./header-field.ts";
import { createJudge, type Judge, type Verdict } from "./judge.ts";
import type { KeyLookup } from "./key-lookup.ts";
import type { Decision, MessageHandler, Progress, Refused } from "./message.ts";
import { parseContentType } from "./mime-header.ts";
import {
  dkimKeyUnavailable,
  dkimTooEarly,
  headerTooLarge,
  invalidFrom,
  noDkimSignature,
  noValidDkimSignature,
  type Refusal,
  unencryptedMail,
  wrongAddressLiteral,
} from "./refusal.ts";

/** What the rules look at. */
export type IncomingMessage = Readonly<{
  /** Null for the null sender. */
  sender: Address | null;
  /** Null when From is not exactly one address. */
  from: Address | null;
  values(name: string): string[];
  verdict: Verdict;
  /** Null when nobody asked for it: the From domain is an address literal, or the message is refused already. */
  dkim: DkimResult | null;
  /** The client's IP address as far as known. */
  clientAddress: string | null;
}>;

/** The one address of the From field, or null. */
export function fromAddress(values: IncomingMessage["values"]): Address | null {
  const all = values("from");
  return all.length === 1 ? parseFrom(fromBinary(all[0]!)) : null;
}

/** Whether the header is that of a delivery report (RFC 3464), which no mail server encrypts. */
export function isDeliveryReport(from: Address, values: IncomingMessage["values"]): boolean {
  const types = values("content-type");
  return (
    from.localPart.toLowerCase() === "mailer-daemon" &&
    values("auto-submitted").some((value) => value !== "") &&
    types.length === 1 &&
    parseContentType(types[0]!)?.type === "multipart/report"
  );
}

/** Why the message may not enter, or null. */
export function incomingRefusal(message: IncomingMessage): Refusal | null {
  const { sender, from, values, verdict, dkim, clientAddress } = message;
  if (from === null) return invalidFrom(null, formatAddress(sender));
  if (verdict.kind === "unencrypted" && !isDeliveryReport(from, values)) return unencryptedMail;
  if (from.domain.startsWith("[")) {
    const literal = literalAddress(from.domain);
    const isClient = literal !== null && clientAddress !== null && literal === canonicalIp(clientAddress);
    return isClient ? null : wrongAddressLiteral;
  }
  switch (dkim?.kind) {
    case "valid":
      return null;
    case "none":
      return noDkimSignature;
    case "unavailable":
      return dkimKeyUnavailable;
    case "early":
      return dkimTooEarly;
    default:
      return noValidDkimSignature;
  }
}

export type IncomingServices = Readonly<{
  lookUpKey: KeyLookup;
  /** Now, in milliseconds since 1970. */
  date(): number;
}>;

/** Every MAIL FROM of a stranger may go on; its message decides. */
export function beginIncoming(
  envelopeSender: string,
  clientAddress: string | null,
  services: IncomingServices,
): MessageHandler {
  const sender = parseEnvelope(envelopeSender);
  const header = createHeaderList();
  let from: Address | null = null;
  let judge: Judge | null = null;
  let isReport = false;
  let verifier: DkimVerifier | null = null;

  const refused = (verdict: Verdict, dkim: DkimResult | null): Refused | null => {
    const refusal = incomingRefusal({ sender, from, values: header.values, verdict, dkim, clientAddress });
    const judged = verdict.kind === "unencrypted" ? verdict.reason : verdict.kind;
    return refusal && { refusal, detail: dkim === null ? judged : `${judged}; DKIM ${dkim.detail}` };
  };
  /** The refusal as soon as nothing can avert it. */
  const progress = (): Progress => {
    if (!judge!.isHopeless() || isReport) return "more";
    return refused(judge!.end(), null) ?? "more";
  };

  return {
    recipient() {},
    header: header.add,
    endOfHeader() {
      if (header.tooLarge()) return { refusal: headerTooLarge, detail: "header" };
      judge = createJudge({ ...header, allowArmorVersion: true });
      from = fromAddress(header.values);
      isReport = from !== null && isDeliveryReport(from, header.values);
      if (from === null || (judge.isHopeless() && !isReport)) return refused(judge.end(), null)!;
      if (from.domain.startsWith("[")) {
        const refusal = refused(acceptable, null);
        // A report from the client itself is taken as it is.
        return refusal ?? (isReport ? "enough" : "more");
      }
      if (header.values("dkim-signature").length === 0) return refused(acceptable, unsigned)!;
      verifier = createDkimVerifier({
        fields: header.fields,
        fromDomain: from.domain,
        clientAddress,
        ...services,
      });
      return "more";
    },
    body(piece) {
      judge!.write(piece);
      verifier?.write(piece);
      return progress();
    },
    async end(): Promise<Decision> {
      const verdict = judge!.end();
      // What is refused anyway asks for no DNS traffic.
      const dkim = verdict.kind === "unencrypted" && !isReport ? null : ((await verifier?.end()) ?? null);
      const refusal = refused(verdict, dkim);
      if (refusal !== null) return refusal;
      // Nobody vouched for a sender that is not From: bounces must not go there.
      return { changes: sender === null || sameAddress(sender, from) ? [] : [{ kind: "empty sender" }] };
    },
  };
}

/** Stands for a body that is not read yet. */
const acceptable: Verdict = { kind: "encrypted" };
const unsigned: DkimResult = { kind: "none", detail: "no DKIM-Signature field" };
