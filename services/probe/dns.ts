/**
 * Whether the DNS leads here: addresses, mail and the DKIM key, as the relay's own resolver sees them. An address is known
 * by the key that whoever answers there shows. `./homing dns check` looks much closer. Called by main.ts.
 */
import { createPublicKey, type KeyObject, type X509Certificate } from "node:crypto";
import { findDkimKey } from "../../appliance/dns/dkim-record.ts";
import { isTestDomain } from "../../appliance/domain.ts";
import { certificateAt } from "./doors.ts";
import { lookUpMs } from "./limits.ts";
import { Finding, type Steps } from "./steps.ts";

/** A relay has one address of each family. */
const maxAddresses = 4;

/** The part of dns.promises.Resolver that is asked. */
export type Names = Readonly<{
  resolve4(name: string): Promise<string[]>;
  resolve6(name: string): Promise<string[]>;
  resolveMx(name: string): Promise<{ exchange: string; priority: number }[]>;
  resolveTxt(name: string): Promise<string[][]>;
}>;

export type DnsParts = Readonly<{
  domain: string;
  names: Names;
  /** The key that signs. */
  dkim: Readonly<{ selector: string; publicPem: string }>;
  /** What the relay shows on port 443; undefined when it does not answer. */
  shown: X509Certificate | undefined;
  /** The machine's default routers by IPv4 (routers.ts). */
  routers: readonly string[];
  /** What is shown at an address. */
  certificateAt?: typeof certificateAt;
  steps: Steps;
}>;

const mend =
  "`./homing dns check` in the relay folder on your computer says what to change; a change takes some minutes to be seen";

export async function lookAtDns(parts: DnsParts): Promise<void> {
  await parts.steps.take("dns", async (see) => {
    const found = await Promise.all([
      addressesOf(parts, 4),
      addressesOf(parts, 6),
      mailOf(parts),
      dkimOf(parts),
    ]);
    const problems = found.flatMap(({ problems }) => problems);
    if (found[0].values.length + found[1].values.length === 0 && problems.length === 0)
      problems.push(`${parts.domain} has no address`);
    const values = found.flatMap(({ values }) => values);
    // Such a name is in no DNS but that of a test.
    if (problems.length > 0 && !isTestDomain(parts.domain)) throw new Finding(problems.join("; "), mend);
    see([...values, ...problems].join("; "));
  });
}

type Part = Readonly<{ values: readonly string[]; problems: string[] }>;

async function addressesOf(parts: DnsParts, family: 4 | 6): Promise<Part> {
  const { domain, names, shown, certificateAt: look = certificateAt } = parts;
  const type = family === 4 ? "A" : "AAAA";
  const answer = await ask(() => (family === 4 ? names.resolve4(domain) : names.resolve6(domain)));
  if (typeof answer === "string")
    return { values: [], problems: [`${type} cannot be looked up (${answer})`] };
  const key = shown && keyOf(shown);
  const values: string[] = [];
  const problems: string[] = [];
  for (const address of answer.slice(0, maxAddresses)) {
    const there = key && (await look({ host: address, domain }, lookUpMs));
    if (there && keyOf(there) === key) values.push(`${type} ${address} leads here`);
    else if (there && family === 4 && (await isRouters(keyOf(there), parts)))
      values.push(`${type} ${address}, where from inside the router itself answers`);
    else if (there) problems.push(`${type} ${address} leads to another machine`);
    // Many routers do not lead back to themselves; there is nothing like that between a machine and its own IPv6 address.
    else if (family === 4 || key === undefined)
      values.push(`${type} ${address}, as far as can be seen from inside`);
    else problems.push(`${type} ${address} does not lead here`);
  }
  return { values, problems };
}

/** A router that does not lead back to itself may show its own page at its public address: its key, the same as inside. */
async function isRouters(
  key: string,
  { domain, routers, certificateAt: look = certificateAt }: DnsParts,
): Promise<boolean> {
  const shown = await Promise.all(routers.map((host) => look({ host, domain }, lookUpMs)));
  return shown.some((certificate) => certificate && keyOf(certificate) === key);
}

function keyOf(certificate: X509Certificate): string {
  return certificate.publicKey.export({ type: "spki", format: "der" }).toString("base64");
}

async function mailOf({ domain, names }: DnsParts): Promise<Part> {
  const answer = await ask(() => names.resolveMx(domain));
  if (typeof answer === "string") return { values: [], problems: [`MX cannot be looked up (${answer})`] };
  const [first] = answer.toSorted((a, b) => a.priority - b.priority);
  // RFC 5321 §5.1: without MX, mail goes to the address.
  if (first === undefined || first.exchange.toLowerCase() === domain)
    return { values: ["mail comes here"], problems: [] };
  return { values: [], problems: [`mail goes to ${first.exchange || "nobody"} (MX)`] };
}

async function dkimOf({ domain, names, dkim }: DnsParts): Promise<Part> {
  const name = `${dkim.selector}._domainkey.${domain}`;
  const answer = await ask(() => names.resolveTxt(name));
  if (typeof answer === "string")
    return { values: [], problems: [`the DKIM key cannot be looked up (${answer})`] };
  const record = findDkimKey(answer);
  if ("problem" in record) return { values: [], problems: [`DKIM at ${name}: ${record.problem}`] };
  const own: KeyObject = createPublicKey(dkim.publicPem);
  return own.equals(record.key)
    ? { values: ["the DKIM key is the one that signs"], problems: [] }
    : {
        values: [],
        problems: [`at ${name} is another DKIM key than the one that signs: other relays refuse the mail`],
      };
}

/** The answer, empty when there is no such record; the error's code when nobody answers. */
async function ask<T>(look: () => Promise<T[]>): Promise<T[] | string> {
  try {
    return await look();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    return code === "ENODATA" || code === "ENOTFOUND" ? [] : code;
  }
}
