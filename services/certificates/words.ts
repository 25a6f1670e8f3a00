/**
 * What went wrong at the certificate authority, in words that the owner of a relay can act on. What authorities write
 * may repeat what strangers' servers said, and it is shown on a terminal: control characters go, and it is cut. Pure.
 */
import { AcmeProblem, RequestLimitError } from "./authority.ts";
import { NamesRefusedError } from "./order.ts";

/** What is shown of a stranger's text. */
const MAX_QUOTED = 300;
const diskErrors: ReadonlySet<string> = new Set(["EACCES", "EDQUOT", "EIO", "ENOENT", "ENOSPC", "EROFS"]);

export type WordsContext = Readonly<{ domain: string; directory: string; challenge: "http-01" | "dns-01" }>;

/** One sentence or two; undefined for an error that is none of the world outside, but a mistake of the program. */
export function explain(error: unknown, context: WordsContext): string | undefined {
  if (error instanceof NamesRefusedError) {
    return [...error.refused].map(([name, problem]) => nameRefused(name, problem, context)).join(" ");
  }
  if (error instanceof AcmeProblem) return problemWords(error, context);
  if (!(error instanceof Error)) return undefined;
  if (error instanceof RequestLimitError) {
    return `The certificate authority ${hostOf(context.directory)} does not come to an end (${error.message}); nothing is to be done here.`;
  }
  if (
    ["DnsProviderError", "CertificateChainError", "ChallengeError", "OrderPendingError"].includes(error.name)
  ) {
    return `${printable(error.message)}.`;
  }
  // Of the disk it says ENOSPC and the like, too; that is nothing of the world outside.
  const isOfNetwork = "isAxiosError" in error && "code" in error && typeof error.code === "string";
  return isOfNetwork ? networkWords(error.code as string, hostOf(context.directory)) : undefined;
}

/** For what `explain` has no words: the disk, an answer that nobody foresaw, a mistake of the program. */
export function explainUnforeseen(error: unknown, { directory }: WordsContext): string {
  const { code, message }: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error));
  if (code !== undefined && diskErrors.has(code)) {
    return `The relay cannot write down what it does for its certificate (${code}): is its disk full or damaged?`;
  }
  return `The certificate authority ${hostOf(directory)} gave an answer that the relay cannot work with, or the relay has a mistake of its own; it tries again later. (It failed with: “${printable(message)}”)`;
}

/** Why the authority does not believe that the name is ours (RFC 8555 §6.7, §8.2). */
export function nameRefused(name: string, problem: AcmeProblem, { challenge }: WordsContext): string {
  const said = quoted(problem);
  const isHttp = challenge === "http-01";
  switch (problem.type) {
    case "connection":
      return `The certificate authority cannot reach http://${name}/: forward TCP port 80 in your router to this device, and see that the addresses of ${name} in the DNS are those of your connection. ${said}`;
    case "unauthorized":
    case "incorrectResponse":
      return isHttp
        ? `Another web server than this device answers for http://${name}/: correct the A and AAAA records of ${name}, or the forwarding of port 80 in your router. ${said}`
        : `The certificate authority does not see the record _acme-challenge.${name} that was made: does the zone in the settings belong to the name servers of the domain? ${said}`;
    case "dns":
      return `The certificate authority does not find ${name} in the DNS: publish its records (dns-records.txt in your relay folder), and see that your provider's name servers answer. ${said}`;
    case "caa":
      return `A CAA record in the DNS forbids this authority to certify ${name}: change that record, or the authority in relay.toml. ${said}`;
    case "tls":
      return `The certificate authority was led to a TLS server that it cannot speak to: do not forward port 80 to a port with TLS. ${said}`;
    default:
      return `The certificate authority does not certify ${name}. ${said}`;
  }
}

function problemWords(problem: AcmeProblem, { domain, directory }: WordsContext): string {
  const host = hostOf(directory);
  const said = quoted(problem);
  switch (problem.type) {
    case "rateLimited":
      return `The certificate authority's limits for this name or account are used up; it is asked again when it allows so. ${said}`;
    case "rejectedIdentifier":
    case "unsupportedIdentifier":
      return `The certificate authority certifies no such name or address: see domain and also_for_ip in relay.toml. ${said}`;
    case "caa":
      return `A CAA record in the DNS forbids this authority to certify ${domain}: change that record, or the authority in relay.toml. ${said}`;
    case "externalAccountRequired":
      return `The certificate authority ${host} takes only accounts that were opened with it before; choose another one (acme_directory in relay.toml). ${said}`;
    case "userActionRequired":
      return `The certificate authority wants its owner's consent to new terms. ${said}`;
    case "invalidContact":
    case "unsupportedContact":
      return `The certificate authority does not take the e-mail address: correct email under [certificates] in relay.toml, or leave it empty. ${said}`;
    case "invalidProfile":
      return `The certificate authority has no such kind of certificate: see profile in relay.toml. ${said}`;
    case "badSignatureAlgorithm":
    case "badPublicKey":
    case "badCSR":
      return `The certificate authority does not take the relay's keys. ${said}`;
    default:
      return problem.status >= 500
        ? `The certificate authority ${host} has a trouble of its own; nothing is to be done here. ${said}`
        : `The certificate authority ${host} refused. ${said}`;
  }
}

/** Codes of node:dns, node:net, OpenSSL and axios. */
function networkWords(code: string, host: string): string {
  if (code === "CERT_NOT_YET_VALID" || code === "CERT_HAS_EXPIRED") return clockWords(undefined);
  const isTls = /CERT|SSL|TLS|SIGNATURE|ERR_TLS/.test(code);
  return isTls
    ? `Somebody else than ${host} answers in its place (${printable(code)}): is the network behind a proxy that opens TLS?`
    : `The certificate authority ${host} cannot be reached (${printable(code)}): does this network lead to the Internet?`;
}

/** `date`: the authority's clock, when it is known. */
export function clockWords(date: Date | undefined): string {
  const other =
    date === undefined ? "" : `; the certificate authority's says ${date.toISOString().slice(0, 16)} UTC`;
  return `The clock of this device is wrong${other}. It is set by itself once a time server can be reached (UDP port 123).`;
}

function quoted({ message }: AcmeProblem): string {
  return `(It says: “${printable(message)}”)`;
}

/** Without control characters and direction marks, and not too long. */
export function printable(text: string): string {
  const clean = text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]+/gu, " ").trim();
  return clean.length > MAX_QUOTED ? `${clean.slice(0, MAX_QUOTED)}…` : clean;
}

function hostOf(directory: string): string {
  return URL.canParse(directory) ? new URL(directory).host : directory;
}
