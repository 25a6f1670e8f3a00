/**
 * Whether what was typed at a question can be used: each function gives the value, or the reason why not, in words
 * that stand at the field. Pure; called by state.ts. What decides are the validators of the settings themselves.
 */
import { BlockList, isIP } from "node:net";
import { contactUri } from "../../appliance/contact.ts";
import { MIN_PASSWORD_LENGTH } from "../../appliance/dns/desec-free.ts";
import { DomainError, parseDomain } from "../../appliance/domain.ts";
import { wifiCountryProblem, wifiNetworkProblem, wifiPasswordProblem } from "../../appliance/wifi.ts";

export type Judged<Value> = Readonly<{ value: Value }> | Readonly<{ problem: string }>;

/** As `contact` and `certificates.email` of relay.toml (appliance/relay-settings.ts). */
const MAX_CONTACT_LENGTH = 200;
/** A machine has one or two addresses of each family. */
const MAX_ADDRESSES = 4;

export function judgeDomain(text: string): Judged<string> {
  try {
    return { value: parseDomain(text) };
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    return { problem: error.message };
  }
}

/** An e-mail address or a link; empty is nothing. */
export function judgeContact(text: string): Judged<string> {
  const given = text.trim();
  if (given === "") return { value: "" };
  if (given.length > MAX_CONTACT_LENGTH)
    return { problem: `it has ${given.length} characters, at most ${MAX_CONTACT_LENGTH} are allowed` };
  if (contactUri(given) === undefined) {
    return {
      problem: "write an e-mail address, like me@example.org, or a link that begins with https://",
    };
  }
  return { value: given };
}

export function judgeEmail(text: string, needed: boolean): Judged<string> {
  const given = text.trim();
  if (given === "") return needed ? { problem: "an e-mail address is needed here" } : { value: "" };
  if (given.length > MAX_CONTACT_LENGTH)
    return { problem: `it has ${given.length} characters, at most ${MAX_CONTACT_LENGTH} are allowed` };
  if (!/^[^\s@]+@[^\s@]+$/.test(given) || contactUri(given) === undefined)
    return { problem: "that is no e-mail address; write one like me@example.org" };
  return { value: given };
}

/** IANA's registries of special-purpose addresses (RFC 6890), as far as people have them on their machines. */
const notPublic: readonly [range: string, prefix: number, what: string][] = [
  ["10.0.0.0", 8, "is one of a network at home (RFC 1918)"],
  ["172.16.0.0", 12, "is one of a network at home (RFC 1918)"],
  ["192.168.0.0", 16, "is one of a network at home (RFC 1918)"],
  ["100.64.0.0", 10, "is shared by many customers of a provider (RFC 6598)"],
  ["127.0.0.0", 8, "means each machine itself"],
  ["169.254.0.0", 16, "is valid on one cable alone"],
  ["192.0.2.0", 24, "is there for examples (RFC 5737)"],
  ["198.51.100.0", 24, "is there for examples (RFC 5737)"],
  ["203.0.113.0", 24, "is there for examples (RFC 5737)"],
  ["0.0.0.0", 8, "is no machine's"],
  ["224.0.0.0", 3, "is no machine's"],
  ["fe80::", 10, "is valid on one cable alone"],
  ["fc00::", 7, "is one of a network at home (RFC 4193)"],
  ["2001:db8::", 32, "is there for examples (RFC 3849)"],
  ["ff00::", 8, "is no machine's"],
  ["::", 96, "is no machine's"],
  ["::ffff:0:0", 96, "is an IPv4 address in another form"],
];
const ranges = notPublic.map(([range, prefix, what]) => {
  const family = isIP(range) === 6 ? "ipv6" : "ipv4";
  const list = new BlockList();
  list.addSubnet(range, prefix, family);
  return { list, family, what } as const;
});

/** Public addresses, apart by spaces or commas; none is an answer too: it is not known yet. */
export function judgeAddresses(text: string): Judged<readonly string[]> {
  const given = [...new Set(text.split(/[\s,]+/).filter((word) => word !== ""))];
  if (given.length > MAX_ADDRESSES) return { problem: `these are more than ${MAX_ADDRESSES} addresses` };
  for (const address of given) {
    const version = isIP(address);
    if (version === 0 || address.includes("%"))
      return { problem: `“${address}” is no IP address; write one like 198.35.26.96` };
    const family = version === 6 ? "ipv6" : "ipv4";
    const special = ranges.find((range) => range.family === family && range.list.check(address, family));
    if (special) {
      return {
        problem: `${address} ${special.what}; friends need the address that the Internet sees you with`,
      };
    }
  }
  return { value: given.map((address) => address.toLowerCase()) };
}

export function judgePassword(text: string): Judged<string> {
  if (text.length < MIN_PASSWORD_LENGTH)
    return { problem: `it needs at least ${MIN_PASSWORD_LENGTH} characters` };
  return { value: text };
}

/** Nobody sees what they type: a slip would lock them out of the new account. */
export function judgeRepeated(text: string, password: string): Judged<string> {
  if (text === password) return { value: text };
  return { problem: "it is another than the first time; type it again, or press Esc to type both anew" };
}

export function judgePresent(text: string): Judged<string> {
  return text === "" ? { problem: "it is empty" } : { value: text };
}

/** Spaces at its ends may belong to the name, so they stay. */
export function judgeWifiNetwork(text: string): Judged<string> {
  const problem = wifiNetworkProblem(text);
  return problem === undefined ? { value: text } : { problem };
}

/** Empty: the password that is there already stays. */
export function judgeWifiPassword(text: string, isThere: boolean): Judged<string> {
  if (text === "" && isThere) return { value: "" };
  const problem = wifiPasswordProblem(text);
  return problem === undefined ? { value: text } : { problem };
}

export function judgeCountry(text: string): Judged<string> {
  const country = text.trim().toUpperCase();
  const problem = wifiCountryProblem(country);
  return problem === undefined ? { value: country } : { problem };
}
