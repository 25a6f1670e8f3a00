/**
 * The settings of [certificates]: where the relay's certificate comes from and how its names are proved. A part of
 * relay-settings.ts.
 */
import * as z from "zod";
import { contactUri } from "./contact.ts";
import { registrarIds } from "./dns/provider-fields.ts";
import { isDnsName, parseDnsServer } from "./dns/server-address.ts";
import { tsigAlgorithms } from "./dns/tsig.ts";
import { settingNotes } from "./setting-notes.ts";

/** Where certificates come from unless the settings name another authority. */
export const letsEncryptDirectory = "https://acme-v02.api.letsencrypt.org/directory";
/** Let's Encrypt's profile for certificates of six days, and of IP addresses. */
const SHORT_LIVED = "shortlived";
/** One of each family, twice. */
const MAX_CERTIFIED_ADDRESSES = 4;
const dnsName = () =>
  z.stringFormat("DNS name", (text) => text === "" || (isDnsName(text) && text === text.toLowerCase()));

export const certificateSettings = z
  .object({
    source: z.enum(["acme", "self-signed", "files"]).default("acme").register(settingNotes, {
      comment:
        "“acme”: from the authority below, to whose terms you so agree; “files”: keys/certificate.pem, certificate-key.pem.",
      allowed: "“acme”, “self-signed” or “files”",
    }),
    acmeDirectory: z
      .stringFormat("https link", (text) => URL.canParse(text) && new URL(text).protocol === "https:")
      .max(500)
      .default(letsEncryptDirectory)
      .register(settingNotes, {
        comment: "The certificate authority: the address of its ACME directory.",
        allowed: "a link that begins with https://",
      }),
    email: z
      .stringFormat(
        "e-mail address",
        (text) => text === "" || (/^[^\s@]+@[^\s@]+$/.test(text) && contactUri(text) !== undefined),
      )
      .max(200)
      .default("")
      .register(settingNotes, {
        comment: "Where the authority may write to you. Empty: nowhere.",
        allowed: "an e-mail address, at most 200 characters, or an empty text",
      }),
    challenge: z.enum(["http-01", "dns-01"]).default("http-01").register(settingNotes, {
      comment:
        "How you prove that the name is yours: “http-01” on port 80, or “dns-01” by changes of the DNS.",
      allowed: "“http-01” or “dns-01”",
    }),
    profile: z
      .string()
      .regex(/^[a-z0-9-]{0,64}$/)
      .default("")
      .register(settingNotes, {
        comment:
          "Kind of certificate, by the authority's name for it, like “shortlived”. Empty: its usual one.",
        allowed: "up to 64 lower-case letters, digits and “-” in quotes",
      }),
    alsoForIp: z
      .array(z.union([z.ipv4(), z.ipv6()]))
      .max(MAX_CERTIFIED_ADDRESSES)
      .default([])
      .register(settingNotes, {
        comment: "Public addresses of the relay to certify beside its names; only with profile “shortlived”.",
        allowed: `a list of at most ${MAX_CERTIFIED_ADDRESSES} IP addresses in quotes`,
      }),
    dnsProvider: z
      .enum(["rfc2136", ...registrarIds])
      .default("rfc2136")
      .register(settingNotes, {
        comment: "For dns-01: who keeps your zone; the credentials for it go into keys/dns-update.key.",
        allowed: `“rfc2136” or one of ${registrarIds.map((id) => `“${id}”`).join(", ")}`,
      }),
    rfc2136Server: z
      .stringFormat("DNS server", (text) => text === "" || parseDnsServer(text) !== undefined)
      .default("")
      .register(settingNotes, {
        comment:
          "For rfc2136: the name server that takes changes, as NAME, ADDRESS, NAME:PORT or [IPV6]:PORT.",
        allowed: "a name or an IP address with or without a port, in quotes",
      }),
    rfc2136Zone: dnsName().default("").register(settingNotes, {
      comment: "For rfc2136: the zone on that server.",
      allowed: "a domain name in lower-case letters, in quotes",
    }),
    rfc2136KeyName: dnsName().default("").register(settingNotes, {
      comment: "For rfc2136: name of the TSIG key; its secret lies in keys/dns-update.key as Base64.",
      allowed: "a name as in the name server's settings, in lower-case letters, in quotes",
    }),
    rfc2136Algorithm: z
      .enum(tsigAlgorithms)
      .default("hmac-sha256")
      .register(settingNotes, {
        comment: "For rfc2136: what that key is made for.",
        allowed: tsigAlgorithms.map((name) => `“${name}”`).join(" or "),
      }),
  })
  .prefault({});

/** Says what is wrong with the setting at a path. */
export type Refuse = (path: string[], message: string) => void;

/** Rules between two of these settings. */
export function checkCertificates(certificates: z.output<typeof certificateSettings>, refuse: Refuse): void {
  const { challenge, dnsProvider, alsoForIp, profile } = certificates;
  if (challenge === "dns-01" && dnsProvider === "rfc2136") {
    for (const key of ["rfc2136Server", "rfc2136Zone", "rfc2136KeyName"] as const) {
      if (certificates[key] !== "") continue;
      refuse(["certificates", key], "it is empty, but challenge is “dns-01” with “rfc2136”, which needs it");
    }
  }
  if (alsoForIp.length === 0) return;
  // No authority certifies an address for longer; and there is no DNS to prove one by (RFC 8738 §7).
  if (profile !== SHORT_LIVED) {
    refuse(
      ["certificates", "alsoForIp"],
      `it names addresses; allowed: only with profile = "${SHORT_LIVED}"`,
    );
  } else if (challenge === "dns-01") {
    refuse(["certificates", "alsoForIp"], "it names addresses; allowed: only with challenge = “http-01”");
  }
}
