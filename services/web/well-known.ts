/**
 * What programs look for at fixed places: the settings of mail programs, the TLS policy for mail (RFC 8461), whom to
 * tell of a weakness (RFC 9116). Called by service.ts; pure.
 */
import { contactUri } from "../../appliance/contact.ts";
import { mtaStsPolicy } from "../../appliance/dns/records.ts";
import { ports } from "../../appliance/layout.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import { type Answer, textAnswer } from "./exchange.ts";
import type { Routes } from "./router.ts";

/** The port for everything, where services/mux tells mail from pages by ALPN. */
const httpsPort = 443;
/** Programs ask once, at set-up; the TLS policy has a lifetime of its own. In seconds. */
const cacheSeconds = 3600;
const cached = { "cache-control": `public, max-age=${cacheSeconds}` };

/**
 * How long security.txt is promised to be right: less than a year (RFC 9116 §2.5.5); a relay that nobody looks after
 * makes it anew each day. In days.
 */
const securityTextDays = 180;
const dayMs = 86_400_000;

/**
 * Autoconfiguration as Thunderbird defined it
 * (https://www.bucksch.org/1/projects/thunderbird/autoconfiguration/config-file-format.html). Delta Chat tries the
 * entries in their order: the usual ports first, then the one that no network blocks.
 */
export function autoconfigXml(domain: string): string {
  const server = (kind: "incoming" | "outgoing", port: number, socketType: "SSL" | "STARTTLS"): string =>
    `    <${kind}Server type="${kind === "incoming" ? "imap" : "smtp"}">
      <hostname>${domain}</hostname>
      <port>${port}</port>
      <socketType>${socketType}</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </${kind}Server>`;
  return `<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="${domain}">
    <domain>${domain}</domain>
    <displayName>${domain}</displayName>
    <displayShortName>${domain}</displayShortName>
${[
  server("incoming", ports.imaps, "SSL"),
  server("incoming", ports.imap, "STARTTLS"),
  server("incoming", httpsPort, "SSL"),
  server("outgoing", ports.submissions, "SSL"),
  server("outgoing", ports.submission, "STARTTLS"),
  server("outgoing", httpsPort, "SSL"),
].join("\n")}
  </emailProvider>
</clientConfig>
`;
}

/**
 * At the domain itself. Programs look at autoconfig.DOMAIN before it, which would be one more DNS record and one more
 * name in the certificate for the same answer.
 */
export function autoconfigRoutes(domain: string): Routes {
  const answer: Answer = {
    status: 200,
    headers: { "content-type": "application/xml; charset=utf-8", ...cached },
    body: autoconfigXml(domain),
  };
  return { "/.well-known/autoconfig/mail/config-v1.1.xml": { GET: () => answer } };
}

/** At mta-sts.DOMAIN (RFC 8461 §3.3). */
export function mtaStsRoutes(domain: string): Routes {
  return { "/.well-known/mta-sts.txt": { GET: () => textAnswer(200, mtaStsPolicy(domain), cached) } };
}

/** None where the operator named no contact, which the text must have (RFC 9116 §2.5.3). */
export function securityTextRoutes({ domain, contact }: RelayConfig, now: () => Date): Routes {
  const uri = contactUri(contact);
  if (uri === undefined) return {};
  const GET = () => {
    const day = Math.floor(now().getTime() / dayMs);
    const expires = new Date((day + securityTextDays) * dayMs).toISOString().replace(".000", "");
    const text = `Contact: ${uri}\nExpires: ${expires}\nCanonical: https://${domain}/.well-known/security.txt\n`;
    return textAnswer(200, text, cached);
  };
  return { "/.well-known/security.txt": { GET }, "/security.txt": { GET } };
}
