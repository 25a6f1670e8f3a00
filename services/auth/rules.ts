/**
 * Which addresses and passwords may become an account, and what a refusal is called. Pure; called by
 * accounts.ts. Accounts that exist are never judged by these rules again, only normalised.
 */
import { isCanaryAddress } from "../../appliance/canary.ts";
import { bytesPerFile, minFreeDiskBytes } from "../../appliance/files/capacity.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import type { SignUpMode } from "../../appliance/sign-up-modes.ts";

/** Why a login is refused; goes to the log and, as a text, to whoever asks. */
export type Refusal =
  | "not-utf8"
  | "malformed-address"
  | "foreign-domain"
  | "local-part-characters"
  | "local-part-length"
  | "reserved-name"
  | "sign-up-closed"
  | "invitation-needed"
  | "invitation-unknown"
  | "invitation-used-up"
  | "invitation-expired"
  | "password-too-short"
  | "password-too-long"
  | "automatic-relay"
  | "load-too-high"
  | "memory-too-low"
  | "disk-too-full"
  | "too-many-new-accounts"
  | "proof-refused"
  | "no-free-name";

export const refusalTexts: Readonly<Record<Refusal, string>> = {
  "not-utf8": "Names and passwords are UTF-8",
  "malformed-address": "An address has exactly one @ and plain ASCII letters",
  "foreign-domain": "This relay serves another domain",
  "local-part-characters": "A name may hold a-z, 0-9, - and _, and single dots between them",
  "local-part-length": "The name is too short or too long for a new account",
  "reserved-name": "This name is kept for the operator",
  "sign-up-closed": "This relay makes no new accounts",
  "invitation-needed": "This relay makes accounts by invitation only",
  "invitation-unknown": "This invitation does not exist, or was withdrawn",
  "invitation-used-up": "This invitation was used already",
  "invitation-expired": "This invitation has expired",
  "password-too-short": "The password is too short for a new account",
  "password-too-long": "The password is too long for a new account",
  "automatic-relay": "This relay takes no accounts that a client adds by itself",
  "load-too-high": "The relay is too busy for new accounts, try again later",
  "memory-too-low": "The relay is short of memory for new accounts, try again later",
  "disk-too-full": "The relay is short of disk space for new accounts, try again later",
  "too-many-new-accounts": "Too many accounts were made from your network or in all, try again later",
  "proof-refused": "The proof of work is wrong, too old or was used already",
  "no-free-name": "No name of the set length was found that is free",
};

/** RFC 5321 §4.5.3.1.1. */
const maxLocalPartLength = 64;

/** Clients invent at most some dozens of characters; longer ones only cost hashing time. */
const maxPasswordLength = 512;

/** Clients that add a relay by themselves mark it by a password of exactly this many characters. */
const automaticRelayPasswordLength = 23;

/**
 * Names that must never be a stranger's, whatever lengths are set. Certificate authorities accept mail to
 * admin, administrator, webmaster, hostmaster and postmaster as proof of owning the domain (CA/Browser Forum
 * Baseline Requirements §3.2.2.4.4); RFC 2142 §3 to §6 gives the others a meaning; reports come from
 * mailer-daemon; and nobody should write as the machine itself.
 */
const reservedLocalParts: ReadonlySet<string> = new Set([
  ...["admin", "administrator", "hostmaster", "postmaster", "webmaster"],
  ...["info", "marketing", "sales", "support"],
  ...["abuse", "noc", "security"],
  ...["ftp", "news", "usenet", "uucp", "www"],
  ...["bounce", "daemon", "mail", "mailer-daemon", "no-reply", "nobody", "noreply", "root", "system"],
]);

/** What the machine has left, asked anew for every account to be made. */
export type MachineState = Readonly<{
  /** One-minute load average. */
  loadAverage: number;
  availableMemoryBytes: number;
  freeDiskBytes: number;
  /** Size of the file system, its own needs left out. */
  diskBytes: number;
  /** How many more files the file system can hold; Infinity when it sets no number. */
  freeFiles: number;
}>;

export type Normalised = Readonly<{ address: string } | { refusal: Refusal }>;

/**
 * The one spelling under which an account is known: lower case, our domain. Only ASCII is lowered, for
 * Unicode would fold foreign letters (the Kelvin sign K) into ours and so into another's account.
 */
export function normaliseAddress(user: string, domain: string): Normalised {
  const [localPart, host, more] = user.split("@");
  if (!localPart || !host || more !== undefined) return { refusal: "malformed-address" };
  if (!/^[\x21-\x7e]+$/.test(user) || localPart.length > maxLocalPartLength) {
    return { refusal: "malformed-address" };
  }
  const address = user.toLowerCase();
  return address.endsWith(`@${domain}`) ? { address } : { refusal: "foreign-domain" };
}

/** Why no account is made for a normalised address, or undefined when the settings allow it. */
export function settingsRefusal(
  address: string,
  password: string,
  config: RelayConfig,
  mode: SignUpMode = config.signUp.mode,
): Refusal | undefined {
  const name = nameRefusal(address, config);
  if (name !== undefined) return name;
  // An invitation is no part of a login: whoever has one gets an account over HTTPS (sign-up.ts).
  if (mode !== "open") return mode === "closed" ? "sign-up-closed" : "invitation-needed";
  const passwordLength = [...password].length;
  if (passwordLength < config.accounts.passwordMinLength) return "password-too-short";
  if (passwordLength > maxPasswordLength) return "password-too-long";
  if (config.signUp.refuseAutomaticRelays && passwordLength === automaticRelayPasswordLength) {
    return "automatic-relay";
  }
  return undefined;
}

/** Why a new account cannot have this normalised address, or undefined when it can. */
export function nameRefusal(address: string, config: RelayConfig): Refusal | undefined {
  const localPart = address.slice(0, address.indexOf("@"));
  // RFC 5321 §4.1.2, Dot-string: other mail systems refuse leading, trailing and double dots.
  if (!/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(localPart)) return "local-part-characters";
  const { localPartMinLength, localPartMaxLength } = config.accounts;
  if (localPart.length < localPartMinLength || localPart.length > localPartMaxLength)
    return "local-part-length";
  if (reservedLocalParts.has(localPart) || isCanaryAddress(localPart)) return "reserved-name";
  return undefined;
}

/** Why the machine can take no new account now, or undefined when it can. */
export function machineRefusal(state: MachineState, signUp: RelayConfig["signUp"]): Refusal | undefined {
  if (state.loadAverage > signUp.maxLoadAverage) return "load-too-high";
  if (state.availableMemoryBytes < signUp.minFreeMemoryBytes) return "memory-too-low";
  const demanded = minFreeDiskBytes(signUp.minFreeDiskBytes, state.diskBytes);
  if (state.freeDiskBytes < demanded) return "disk-too-full";
  if (state.freeFiles < demanded / bytesPerFile) return "disk-too-full";
  return undefined;
}
