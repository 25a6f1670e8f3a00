/**
 * What the steps of one look share: what was passed in, the state, and the certificate in use. Used by look.ts,
 * issue.ts and renewal.ts.
 */
import { type CertificateChain, covers, fitsKey } from "../../appliance/certificate-chain.ts";
import type { Resolvers } from "../../appliance/dns/published.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import type { Log } from "../lib/log.ts";
import type { Challenges } from "./challenges.ts";
import type { Patience } from "./pending.ts";
import type { ReportPaths } from "./report.ts";
import { type CertificateState, writeState } from "./state.ts";
import type { WordsContext } from "./words.ts";

export type LookOptions = Readonly<{
  config: RelayConfig;
  /** PEM. The account key is empty when the relay folder has none. */
  keys: Readonly<{ tls: string; account: string }>;
  paths: ReportPaths & Readonly<{ state: string; certificate: string }>;
  challenges: Challenges;
  patience: Patience;
  resolvers: Resolvers;
  /** Whether a time server set the clock; otherwise the authority's is compared. */
  clockIsSynced: boolean;
  /** People start a relay again when they have mended something. */
  isFirstSinceBoot: boolean;
  /** Milliseconds since 1970. */
  now(): number;
  /** Between 0 and 1. */
  random(): number;
  log: Log;
}>;

export type Look = LookOptions & { state: CertificateState; chain: CertificateChain | undefined };

/** Changes the state, in memory and on the disk. */
export async function save(look: Look, changes: Partial<CertificateState>): Promise<void> {
  look.state = { ...look.state, ...changes };
  await writeState(look.paths.state, look.state);
}

/** Whether clients accept the certificate in use: an authority's, for this key and name, and still valid. */
export function isUsable({ chain, config: { domain }, keys, now }: Look): boolean {
  if (chain === undefined || chain.isSelfSigned || chain.notAfter.getTime() <= now()) return false;
  return fitsKey(chain, keys.tls) && covers(chain, domain);
}

export function wordsContext({ config: { domain, certificates } }: LookOptions): WordsContext {
  return { domain, directory: certificates.acmeDirectory, challenge: certificates.challenge };
}
