/**
 * Whether a domain takes mail at all, as SMTP defines it: not when it does not exist, nor when it says so by a null MX
 * (RFC 7505). HTTPS must not deliver where SMTP would refuse. Called by courier.ts.
 */
import type { MxRecord } from "node:dns";

export type MailDomain = "takes mail" | "null MX" | "does not exist";

/** What the DNS said is kept so long, in milliseconds: a message of a conversation follows soon. */
const KEPT_MS = 5 * 60_000;
const MAX_DOMAINS = 2000;

export function createMailDomains(
  options: Readonly<{ resolveMx: (domain: string) => Promise<MxRecord[]>; now: () => number }>,
): (domain: string) => Promise<MailDomain> {
  const kept = new Map<string, { answer: MailDomain; at: number }>();
  return async (domain) => {
    // A literal has no records (RFC 5321 §4.1.3).
    if (domain.startsWith("[")) return "takes mail";
    const known = kept.get(domain);
    if (known !== undefined && options.now() - known.at < KEPT_MS) return known.answer;
    const answer = await ask(options.resolveMx, domain);
    // Nobody answered: whoever tries to connect will see, and the next one asks again.
    if (answer === undefined) return "takes mail";
    kept.delete(domain);
    kept.set(domain, { answer, at: options.now() });
    if (kept.size > MAX_DOMAINS) kept.delete(kept.keys().next().value!);
    return answer;
  };
}

async function ask(
  resolveMx: (domain: string) => Promise<MxRecord[]>,
  domain: string,
): Promise<MailDomain | undefined> {
  try {
    const records = await resolveMx(domain);
    const isNull = records.length === 1 && (records[0]!.exchange === "" || records[0]!.exchange === ".");
    return isNull ? "null MX" : "takes mail";
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOTFOUND") return "does not exist";
    // There is the name, without MX: its address takes the mail (RFC 5321 §5.1).
    if (code === "ENODATA") return "takes mail";
    return undefined;
  }
}
