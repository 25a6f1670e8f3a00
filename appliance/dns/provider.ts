/**
 * What Homing needs of whoever keeps a zone: a name server that takes changes (rfc2136.ts), or the interface of a
 * registrar (providers/). services/certificates proves by it that a name is ours (dns-01), the installer publishes a
 * relay's records through it. Whole record sets: what stands in other sets belongs to others.
 */
import type { RecordSet } from "./record-set.ts";

export type DnsProvider = Readonly<{
  /** The zones that the credentials may see: absolute names in lower case without the final dot. */
  zones(): Promise<string[]>;
  /**
   * The record sets of the zone (SOA and its own NS too where the provider shows them), or only those of `wanted`
   * that are there. Throws DnsProviderError.
   */
  read(zone: string, wanted?: readonly SetName[]): Promise<RecordSet[]>;
  /**
   * Makes each of the sets be exactly this; one without values is removed. No other set is touched. Atomic where the
   * provider can do it, otherwise what is new comes before the old goes. Asked again after a failure at any request,
   * it ends in the same state. TTLs below what the provider takes are raised to it. Throws DnsProviderError.
   */
  change(zone: string, sets: readonly RecordSet[]): Promise<void>;
  /**
   * Only where changes have to be published once they are made, which `change` does as its last step: for when that did
   * not come to it, and there is nothing else to change.
   */
  publish?(zone: string): Promise<void>;
  /**
   * Throws a DnsProviderError that says what is wrong with the credentials, as far as that can be known without a
   * change: which permission or switch is missing for the zone. Says whether it was told that they may change it.
   */
  check(zone: string): Promise<WriteAccess>;
}>;

/** "untold": nothing but a change shows whether the credentials are good for one. */
export type WriteAccess = "allowed" | "untold";

export type SetName = Pick<RecordSet, "name" | "type">;

/** Something that the owner types in. */
export type CredentialField = Readonly<{
  /** In lower case: "token". */
  key: string;
  /** Before the field: "API token". */
  label: string;
  /** Never to be shown while it is typed. */
  secret: boolean;
  /** How it looks, or when it is needed, in a few words. */
  hint: string;
  /** It may stay empty. */
  optional?: boolean;
}>;

export type Credentials = Readonly<Record<string, string>>;

export type ConnectOptions = Readonly<{
  /** Instead of the provider's own; for its test system, and for tests. */
  baseUrl?: string;
  signal?: AbortSignal;
  /** From the connection to the whole answer. In milliseconds. */
  timeoutMs?: number;
  /** Instead of Node's; for tests. */
  fetch?: typeof globalThis.fetch;
  /** Milliseconds since 1970, and how to wait for some of them; for tests. */
  clock?: ProviderClock;
}>;

export type ProviderClock = Readonly<{
  now(): number;
  /** Rejects when the signal says to stop. */
  wait(milliseconds: number, signal?: AbortSignal): Promise<void>;
}>;

export type ProviderDescription = Readonly<{
  /** "cloudflare" */
  id: string;
  /** "Cloudflare" */
  name: string;
  credentials: readonly CredentialField[];
  /** Where and how to get credentials with the fewest rights: lines of plain words, the first is the URL. */
  tokenHelp: readonly string[];
  /** Ends of the names of its name servers: ["ns.cloudflare.com"]. */
  nameServers: readonly string[];
  /** Seconds. */
  minTtl: number;
  /** Until all of its name servers show a change, at most; where it is given, it is longer than ten. Minutes. */
  publicationMinutes?: number;
  /**
   * What the provider makes of a set that it cannot keep as it is; the same set when it can. To compare with what it
   * shows afterwards. Without it, it keeps everything that a relay needs.
   */
  approximate?(set: RecordSet): RecordSet;
  /** No request yet; what the fields lack shows at the first one, or in `check`. */
  connect(credentials: Credentials, options?: ConnectOptions): DnsProvider;
}>;

/**
 * Why it did not work: "credentials" are wrong or may not do this; "missing": no such zone or record; "busy": too many
 * requests, later it may work; "unreachable": no answer, or none that counts; "refused": the provider says no.
 */
export type DnsProviderProblem = "credentials" | "missing" | "busy" | "unreachable" | "refused";

/** The provider did not do what it was asked for. The message is for the owner: what was asked, why not, the mend. */
export class DnsProviderError extends Error {
  override name = "DnsProviderError";
  readonly problem: DnsProviderProblem;
  constructor(message: string, problem: DnsProviderProblem = "refused", options?: ErrorOptions) {
    super(message, options);
    this.problem = problem;
  }
}
