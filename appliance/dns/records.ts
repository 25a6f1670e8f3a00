/**
 * The DNS records of a relay as a function of its domain and keys, and their text as a zone file
 * (RFC 1035 §5.1, "BIND format"). `./homing init` prints them; checks and DNS providers read the same list.
 * Pure: asks no server.
 */
import { createHash, createPublicKey } from "node:crypto";
import { isIP } from "node:net";
import { isTestDomain } from "../domain.ts";
import { ports } from "../layout.ts";

/** One hour: resolvers need not ask often, and a mistake is mended soon. In seconds. */
const TTL = 3600;
/** A TXT record is made of strings of at most this many bytes (RFC 1035 §3.3.14). */
const MAX_STRING_BYTES = 255;
/** How long senders remember the MTA-STS policy: four weeks (RFC 8461 §3.2 allows up to a year). In seconds. */
const MTA_STS_MAX_AGE = 2_419_200;

export type RecordData =
  | Readonly<{ type: "A" | "AAAA"; address: string }>
  | Readonly<{ type: "MX"; preference: number; exchange: string }>
  | Readonly<{ type: "CNAME"; target: string }>
  /** `text` is the whole value; only zone files and the wire cut it into strings. */
  | Readonly<{ type: "TXT"; text: string }>
  | Readonly<{ type: "SRV"; priority: number; weight: number; port: number; target: string }>
  | Readonly<{ type: "CAA"; flags: number; tag: string; value: string }>;

/** A record to publish. Names are absolute, lower case and without the final dot. */
export type DnsRecord = RecordData &
  Readonly<{
    name: string;
    /** Seconds. */
    ttl: number;
    /**
     * What is required belongs to every relay: mail needs the addresses, MX and DKIM keys, the certificate needs all
     * its names. The recommended ones guard and comfort.
     */
    need: "required" | "recommended";
    /** What it is for, in a few words. */
    purpose: string;
  }>;

export type DkimKey = Readonly<{
  selector: string;
  /** The `p=` value: Base64 of the DER public key (`dkimPublicKey`). */
  publicKey: string;
}>;

export type RelayIdentity = Readonly<{
  domain: string;
  dkim: readonly DkimKey[];
  /** Public IPv4 and IPv6 addresses, as far as they are known. */
  addresses?: readonly string[];
  /** By what name CAA records know the authority (RFC 8659 §4.2); null: there shall be no such record. */
  authority?: string | null;
  /** The relay's account there: with it, no other account may get certificates (RFC 8657 §3). */
  accountUri?: string;
}>;

/** Where relays get their certificates unless relay.toml says otherwise. */
const USUAL_AUTHORITY = "letsencrypt.org";

/** The `p=` value for a DKIM key: Base64 of the SubjectPublicKeyInfo in DER (RFC 6376 §3.6.1). Takes PEM. */
export function dkimPublicKey(privateKeyPem: string): string {
  return createPublicKey(privateKeyPem).export({ type: "spki", format: "der" }).toString("base64");
}

/** The text served as mta-sts.txt (RFC 8461 §3.2). */
export function mtaStsPolicy(domain: string): string {
  return `version: STSv1\r\nmode: enforce\r\nmx: ${domain}\r\nmax_age: ${MTA_STS_MAX_AGE}\r\n`;
}

/** Changes exactly when the policy does, so nobody has to count it up (RFC 8461 §3.1: 1–32 letters and digits). */
function mtaStsId(domain: string): string {
  return createHash("sha256").update(mtaStsPolicy(domain)).digest("hex").slice(0, 32);
}

/** All records of a relay; address records only for the addresses given. */
export function relayRecords(identity: RelayIdentity): DnsRecord[] {
  const { domain, dkim, addresses = [], authority = USUAL_AUTHORITY, accountUri } = identity;
  const required = (name: string, purpose: string, data: RecordData): DnsRecord => {
    return { name, ttl: TTL, need: "required", purpose, ...data };
  };
  const recommended = (name: string, purpose: string, data: RecordData): DnsRecord => {
    return { name, ttl: TTL, need: "recommended", purpose, ...data };
  };
  const service = (label: string, port: number, purpose: string) =>
    recommended(`${label}.${domain}`, purpose, { type: "SRV", priority: 0, weight: 1, port, target: domain });
  return [
    ...addresses.map((address) =>
      required(domain, "where the relay is", { type: isIP(address) === 6 ? "AAAA" : "A", address }),
    ),
    required(domain, "where its mail goes", { type: "MX", preference: 10, exchange: domain }),
    ...dkim.map(({ selector, publicKey }) =>
      required(`${selector}._domainkey.${domain}`, "the key that signs outgoing mail", {
        type: "TXT",
        text: `v=DKIM1;k=rsa;p=${publicKey};s=email;t=s`,
      }),
    ),
    required(`www.${domain}`, "the web pages under their other name", { type: "CNAME", target: domain }),
    required(`mta-sts.${domain}`, "where the TLS policy for mail is read", { type: "CNAME", target: domain }),
    recommended(domain, "only this relay sends for the domain", { type: "TXT", text: "v=spf1 a ~all" }),
    recommended(`_dmarc.${domain}`, "mail without a valid signature is forged", {
      type: "TXT",
      text: "v=DMARC1;p=reject;adkim=s;aspf=s",
    }),
    recommended(`_adsp._domainkey.${domain}`, "the same, for older receivers", {
      type: "TXT",
      text: "dkim=discardable",
    }),
    // No authority ever certifies a test domain.
    ...(isTestDomain(domain) || authority === null
      ? []
      : [
          recommended(domain, "nobody else may issue certificates", {
            type: "CAA",
            flags: 0,
            tag: "issue",
            // Without a space: some providers take none in the value.
            value: accountUri === undefined ? authority : `${authority};accounturi=${accountUri}`,
          }),
        ]),
    service("_submission._tcp", ports.submission, "finding the ports (RFC 6186)"),
    service("_submissions._tcp", ports.submissions, "finding the ports (RFC 8314)"),
    service("_imap._tcp", ports.imap, "finding the ports (RFC 6186)"),
    service("_imaps._tcp", ports.imaps, "finding the ports (RFC 6186)"),
    recommended(`_mta-sts.${domain}`, "says that there is a TLS policy", {
      type: "TXT",
      text: `v=STSv1; id=${mtaStsId(domain)}`,
    }),
  ];
}

const headings: Readonly<Record<DnsRecord["need"], string>> = {
  required: "required",
  recommended: "recommended",
};

/** The records as a zone file: one a line, full names, comments with “;”. Ends with a line break. */
export function zoneText(records: readonly DnsRecord[]): string {
  const width = Math.max(0, ...records.map((record) => record.name.length)) + 1;
  const lines: string[] = [];
  let need: DnsRecord["need"] | "" = "";
  for (const record of records) {
    if (record.need !== need) {
      if (need !== "") lines.push("");
      need = record.need;
      lines.push(`; ${headings[need]}`);
    }
    const name = `${record.name}.`.padEnd(width);
    lines.push(`${name} ${record.ttl} IN ${record.type.padEnd(5)} ${recordData(record)}`);
  }
  return `${lines.join("\n")}\n`;
}

/** The value of a record in zone file notation. */
function recordData(record: DnsRecord): string {
  switch (record.type) {
    case "A":
    case "AAAA":
      return record.address;
    case "MX":
      return `${record.preference} ${record.exchange}.`;
    case "CNAME":
      return `${record.target}.`;
    case "TXT":
      return cutText(record.text).map(quote).join(" ");
    case "SRV":
      return `${record.priority} ${record.weight} ${record.port} ${record.target}.`;
    case "CAA":
      return `${record.flags} ${record.tag} ${quote(record.value)}`;
  }
}

/** Our texts are ASCII, so characters are bytes. */
function cutText(text: string): string[] {
  const strings: string[] = [];
  for (let start = 0; start < text.length; start += MAX_STRING_BYTES) {
    strings.push(text.slice(start, start + MAX_STRING_BYTES));
  }
  return strings;
}

function quote(text: string): string {
  return `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
}
