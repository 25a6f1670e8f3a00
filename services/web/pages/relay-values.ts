/**
 * What pages may say of a relay: its settings in words of a language. Called by pages.ts; pure.
 */
import { domainToUnicode } from "node:url";
import { contactUri } from "../../../appliance/contact.ts";
import type { RelayConfig } from "../../../appliance/relay-config.ts";
import { fillHtml, type Values } from "./template.ts";

/** Short texts of a language (words.toml), by name. */
export type Words = Readonly<Record<string, string>>;

/** The link that makes Delta Chat sign up at a relay: by POST /new, whose refusals it shows to people in their words. */
export function signUpLink(domain: string): string {
  return `dcaccount:https://${domain}/new`;
}

/** Values for every page in this language. `deletes`: whether the relay deletes anything by itself. */
export function relayValues(config: RelayConfig, language: string, words: Words, deletes: boolean): Values {
  const { messages, accounts, domain } = config;
  const after = (days: number): string =>
    fillHtml(word(words, days === 1 ? "after_one_day" : "after_days"), { days: whole(language, days) });
  return {
    ...words,
    language,
    // As people write it; links and addresses keep the form of the DNS.
    domain: domainToUnicode(domain) || domain,
    contact: config.contact,
    contact_link: contactUri(config.contact) ?? "",
    max_message: bytesText(language, messages.maxMessageBytes),
    mailbox: bytesText(language, messages.mailboxBytes),
    deletes,
    deletes_nothing: !deletes,
    delete_after: after(messages.deleteAfterDays),
    large_message: bytesText(language, messages.largeMessageBytes),
    large_goes_earlier: messages.deleteLargeAfterDays < messages.deleteAfterDays,
    delete_large_after: after(messages.deleteLargeAfterDays),
    push: config.push.enabled,
    push_proxy: new URL(config.push.proxyUrl).hostname,
    iroh_relay: config.clients.irohRelayUrl && new URL(config.clients.irohRelayUrl).host,
    token_after: after(config.push.keepTokenDays),
    idle_after: after(accounts.deleteIdleAfterDays),
  };
}

/** A text of words.toml; one that is missing shows as its name. */
export function word(words: Words, name: string): string {
  return (Object.hasOwn(words, name) ? words[name] : undefined) ?? `{{${name}}}`;
}

function whole(language: string, count: number): string {
  return new Intl.NumberFormat(language).format(count);
}

/** "31 MB": whole numbers, rounded down, in the unit in which there are at most three digits. */
function bytesText(language: string, bytes: number): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"] as const;
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return new Intl.NumberFormat(language, { style: "unit", unit: units[power]!, maximumFractionDigits: 0 })
    .format(Math.floor(bytes / 1000 ** power))
    .replace(/\s/g, "\u00a0");
}
