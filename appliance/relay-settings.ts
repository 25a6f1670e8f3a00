/**
 * Every setting of a relay with its type, default, limits and comment, as one schema. relay-config.ts reads
 * and writes relay.toml with it; in the file the keys are snake_case, in the program camelCase.
 */
import * as z from "zod";
import { certificateSettings, checkCertificates, type Refuse } from "./certificate-settings.ts";
import { clientSettings } from "./client-settings.ts";
import { contactUri } from "./contact.ts";
import { deletionIsEnforced } from "./deletion.ts";
import { DomainError, parseDomain } from "./domain.ts";
import { metricsSettings } from "./metrics-settings.ts";
import { pushSettings } from "./push-settings.ts";
import { decimal, settingNotes, whole, yesNo } from "./setting-notes.ts";
import { signUpModes } from "./sign-up-modes.ts";
import { sshPublicKeyProblem } from "./ssh-key.ts";
import { checkTurn, turnSettings } from "./turn-settings.ts";
import { checkWifi, wifiSettings } from "./wifi-settings.ts";

/** RFC 5321 §4.5.3.1.1. */
const MAX_LOCAL_PART = 64;
/** NIST SP 800-63B §5.1.1.1: a password that people may choose has at least eight characters. */
const MIN_PASSWORD_LENGTH = 8;
const MEGABYTE = 1_000_000;
const GIGABYTE = 1_000_000_000;
/** Ten years: long enough for "never" and far from any overflow in seconds. */
const MAX_DAYS = 3650;

/** Ends the comment of a setting that nothing obeys yet: nobody shall rely on it. */
const NOT_YET = "(not enforced in this version)";
const DELETION_NOT_YET = deletionIsEnforced ? "" : ` ${NOT_YET}`;

/** Short enough to leave the domain its MAX_DOMAIN_LENGTH below the 253 characters of a DNS name. */
const selectorPattern = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;
const selectorAllowed =
  "1 to 32 lower-case letters, digits and “-” in quotes, beginning and ending with a letter or digit";

const domain = z
  .string()
  .transform((text, context) => {
    try {
      return parseDomain(text);
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      context.addIssue({ code: "custom", message: error.message });
      return z.NEVER;
    }
  })
  .register(settingNotes, {
    comment: "The relay's mail domain. Addresses are NAME@DOMAIN; it cannot change once people use it.",
    allowed: "a domain name in quotes, like “chat.example.org”",
  });

const authorizedKey = z.string().superRefine((line, context) => {
  const problem = sshPublicKeyProblem(line);
  if (problem) context.addIssue({ code: "custom", message: problem });
});

const settings = z.object({
  domain,
  contact: z
    .stringFormat(
      "contact",
      (text) => text === "" || (/^\P{Cc}*$/u.test(text) && contactUri(text) !== undefined),
    )
    .max(200)
    .default("")
    .register(settingNotes, {
      comment:
        "How people reach you, shown to all who have an account: an e-mail address, or a link by https.",
      allowed: "an e-mail address or a link that begins with https://, without “#”, at most 200 characters",
    }),
  signUp: z
    .object({
      // What homing-ctl chooses on the device holds until this changes (services/auth/sign-up-mode.ts).
      mode: z.enum(signUpModes).default("open").register(settingNotes, {
        comment:
          "“open”: a first login makes an account; “invite”: only an invitation does; “closed”: nothing does.",
        allowed: "“open”, “invite” or “closed”",
      }),
      maxLoadAverage: decimal(
        "No new accounts while the load average over one minute is above this.",
        5,
        0.1,
        1000,
      ),
      minFreeMemoryBytes: whole(
        "No new accounts with less available memory, in bytes.",
        200 * MEGABYTE,
        0,
        1000 * GIGABYTE,
      ),
      minFreeDiskBytes: whole(
        "No new accounts with less free space for mail, in bytes (40 % is always enough), or a file per 50 kB of it.",
        GIGABYTE,
        0,
        1000 * GIGABYTE,
      ),
      // A class or a meeting signs up at once, and behind a carrier's NAT strangers share an address (RFC 6598); but
      // whoever goes on for days must not fill a card with empty mailboxes.
      networkBurst: whole(
        "Accounts that one network (an IPv4 address, an IPv6 /64) may make at once before the next limit is felt.",
        100,
        1,
        1_000_000,
      ),
      networkPerHour: whole("Accounts that one network may make per hour in the long run.", 30, 1, 1_000_000),
      // So that a flood from many networks stays small; whoever lets a browser work for it is let in all the same
      // (services/auth/proof-of-work.ts).
      relayBurst: whole(
        "Accounts that all networks together may make at once before the next limit is felt.",
        1000,
        1,
        1_000_000,
      ),
      relayPerHour: whole(
        "Accounts that all networks together may make per hour in the long run.",
        500,
        1,
        100_000_000,
      ),
      refuseAutomaticRelays: yesNo(
        "Refuse accounts that a client makes by itself, as an extra relay for an account elsewhere.",
        false,
      ),
    })
    .prefault({}),
  accounts: z
    .object({
      localPartMinLength: whole(
        "Shortest name before the “@”. Clients invent names of 9 characters: keep 9 possible.",
        9,
        1,
        MAX_LOCAL_PART,
      ),
      localPartMaxLength: whole("Longest name before the “@”.", 9, 1, MAX_LOCAL_PART),
      passwordMinLength: whole("Shortest password of a new account.", 9, MIN_PASSWORD_LENGTH, 128),
      deleteIdleAfterDays: whole(
        `Accounts without a login for this many days are deleted with their mail${DELETION_NOT_YET}.`,
        90,
        1,
        MAX_DAYS,
      ),
    })
    .prefault({}),
  messages: z
    .object({
      maxMessageBytes: whole(
        "Largest message, as sent over the wire, in bytes.",
        31_457_280,
        65_536,
        200 * MEGABYTE,
      ),
      maxRecipients: whole("Most recipients of one message.", 1000, 1, 10_000),
      deleteAfterDays: whole(
        `Messages are deleted from the relay after this many days${DELETION_NOT_YET}.`,
        20,
        1,
        MAX_DAYS,
      ),
      largeMessageBytes: whole(
        `A message above this many bytes counts as large${DELETION_NOT_YET}.`,
        200_000,
        1,
        200 * MEGABYTE,
      ),
      deleteLargeAfterDays: whole(
        `Large messages are deleted from the relay after this many days${DELETION_NOT_YET}.`,
        7,
        1,
        MAX_DAYS,
      ),
      mailboxBytes: whole("Size limit of a mailbox, in bytes.", 500 * MEGABYTE, MEGABYTE, 1000 * GIGABYTE),
      purgeAbovePercent: whole(
        `A mailbox filled beyond this percentage loses its oldest messages${DELETION_NOT_YET}.`,
        75,
        1,
        100,
      ),
      purgeToPercent: whole(
        `Its oldest messages go until it is filled to this percentage${DELETION_NOT_YET}.`,
        70,
        0,
        99,
      ),
      keepNewestHours: whole(
        `A message younger than this many hours is never removed to make room${DELETION_NOT_YET}.`,
        24,
        0,
        24 * MAX_DAYS,
      ),
      queueLifetimeDays: whole(
        "A message that cannot be delivered goes back to its sender after this many days.",
        2,
        1,
        30,
      ),
    })
    .prefault({}),
  sending: z
    .object({
      perMinute: whole("Messages that one account may send per minute in the long run.", 60, 1, 100_000),
      burst: whole("Messages that one account may send at once before that limit is felt.", 10, 1, 100_000),
    })
    .prefault({}),
  dkim: z
    .object({
      selector: z.string().regex(selectorPattern).default("homing1").register(settingNotes, {
        comment: "Name of the DKIM key: keys/dkim-SELECTOR.pem here, SELECTOR._domainkey.DOMAIN in the DNS.",
        allowed: selectorAllowed,
      }),
      nextSelector: z
        .string()
        .regex(new RegExp(`^$|${selectorPattern.source}`))
        .default("")
        .register(settingNotes, {
          comment:
            "The key that takes over once the DNS shows it everywhere; ./homing keys sets this. Empty: none.",
          allowed: `${selectorAllowed}; or an empty text`,
        }),
    })
    .prefault({}),
  certificates: certificateSettings,
  wifi: wifiSettings,
  ssh: z
    .object({
      authorizedKeys: z.array(authorizedKey).max(100).default([]).register(settingNotes, {
        comment:
          "Public SSH keys of administrators, one text each. With none, SSH is off and its port closed.",
        allowed: 'a list of public keys in quotes, like ["ssh-ed25519 AAAA… name"]',
      }),
    })
    .prefault({}),
  metrics: metricsSettings,
  push: pushSettings,
  turn: turnSettings,
  clients: clientSettings,
});

/** Rules between two settings. `path` is where the mistake is shown. */
function checkTogether(config: z.output<typeof settings>, refuse: Refuse): void {
  const { accounts, messages, dkim } = config;
  if (dkim.nextSelector === dkim.selector) {
    refuse(
      ["dkim", "nextSelector"],
      `found ${JSON.stringify(dkim.selector)}; allowed: another name than selector's`,
    );
  }
  checkCertificates(config.certificates, refuse);
  checkWifi(config.wifi, refuse);
  checkTurn(config.turn, refuse);
  if (accounts.localPartMinLength > accounts.localPartMaxLength) {
    refuse(
      ["accounts", "localPartMinLength"],
      `found ${accounts.localPartMinLength}; allowed: at most local_part_max_length, which is ${accounts.localPartMaxLength}`,
    );
  }
  if (messages.maxMessageBytes > messages.mailboxBytes) {
    refuse(
      ["messages", "maxMessageBytes"],
      `found ${messages.maxMessageBytes}; allowed: at most mailbox_bytes, which is ${messages.mailboxBytes}`,
    );
  }
  if (messages.purgeToPercent >= messages.purgeAbovePercent) {
    refuse(
      ["messages", "purgeToPercent"],
      `found ${messages.purgeToPercent}; allowed: less than purge_above_percent, which is ${messages.purgeAbovePercent}`,
    );
  }
}

/** The schema of relay.toml with camelCase keys. */
export const relayConfigSchema = settings.superRefine((config, context) => {
  checkTogether(config, (path, message) => context.addIssue({ code: "custom", path, message }));
});
