/** What a check of the DNS found, as `--json` prints it and the wizard shows it. Types alone; made by check.ts. */

import type { RecordState } from "./verdict.ts";
import type { RelayQuestion, View } from "./views.ts";

/** One wanted record, or several of one name and type. */
export type RecordReport = RelayQuestion &
  Readonly<{
    need: "required" | "recommended";
    purpose: string;
    /** The worst that any server shows. */
    state: RecordState;
    /** "error": mail or the certificate will not work; "warning": they will, and something is to be mended. */
    severity: "none" | "warning" | "error";
    wanted: readonly string[];
    /** What is there, at any server; canonical values. */
    found: readonly string[];
    reason: string;
    mend: string;
  }>;

export type Finding = Readonly<{
  severity: "warning" | "error";
  /** For programs. */
  code:
    | "alias-conflict"
    | "delegation-missing"
    | "delegation-differs"
    | "dnssec-broken"
    | "foreign-mail"
    | "no-dns"
    | "not-public"
    | "parking"
    | "port-53-blocked"
    | "port-53-intercepted"
    | "server-lame"
    | "server-silent"
    | "server-without-address"
    | "servers-disagree"
    | "stray-address"
    | "wildcard";
  text: string;
  mend: string;
}>;

export type ServerReport = Pick<View, "server" | "address" | "state" | "reason" | "serial">;

export type DnsReport = Readonly<{
  domain: string;
  /** The zone that holds the domain; null when there is none. */
  zone: string | null;
  /** Its name servers by the zone above and by itself, for recognizing the provider. */
  nameServers: readonly string[];
  /**
   * How was asked: each server itself, or resolvers by HTTPS, or this computer's resolver. "none": nobody answered, so
   * nothing is known of any record; the one finding, "no-dns", says why.
   */
  path: "servers" | "https" | "resolver" | "none";
  /** Outside services that were asked besides the zone's own servers and the computer's resolver. */
  asked: readonly string[];
  servers: readonly ServerReport[];
  dnssec: "unsigned" | "valid" | "broken" | "unknown";
  records: readonly RecordReport[];
  findings: readonly Finding[];
  /** Mail will work, as far as the DNS goes. */
  works: boolean;
}>;

/** Whether mail will work: it will, it will not yet, or nobody answered what would show it. */
export function outlookOf({ path, works, records, findings }: DnsReport): "works" | "not yet" | "not known" {
  if (works) return "works";
  if (path === "none") return "not known";
  const isOpen = ({ state }: RecordReport) => state === "unknown";
  const isError = ({ severity }: Pick<RecordReport, "severity">) => severity === "error";
  return !findings.some(isError) && records.filter(isError).every(isOpen) ? "not known" : "not yet";
}
