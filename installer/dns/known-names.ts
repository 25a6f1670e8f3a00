/**
 * Host names that tell what a record is there for: pages that registrars put on new domains, and services that forward
 * mail. Tables of well-known ends of names, which make a finding clearer and decide nothing. Pure; called by findings.ts
 * and judge.ts.
 */

/** Parking pages: where aliases lead, and name servers that answer for every domain. */
const parkingEnds = [
  ...[
    "parkingpage.namecheap.com",
    "pixie.porkbun.com",
    "uixie.porkbun.com",
    "sedoparking.com",
    "parkingcrew.net",
  ],
  ...[
    "bodis.com",
    "above.com",
    "parklogic.com",
    "dan.com",
    "afternic.com",
    "undeveloped.com",
    "domainparking.ru",
  ],
];

/** Mail services that providers switch on by themselves, with where to switch them off. */
const forwardingEnds: Readonly<Record<string, string>> = {
  "mx.cloudflare.net": "Cloudflare's Email Routing (Email > Email Routing > Settings > Disable)",
  "registrar-servers.com": "Namecheap's e-mail forwarding (Domain > Mail Settings)",
  "fwd1.porkbun.com": "Porkbun's e-mail forwarding (Details > Email)",
  "fwd2.porkbun.com": "Porkbun's e-mail forwarding (Details > Email)",
  "mail.gandi.net": "Gandi's mail service (Domain > Email)",
  "secureserver.net": "GoDaddy's mail service",
  "google.com": "Google's mail service",
  "googlemail.com": "Google's mail service",
  "protection.outlook.com": "Microsoft's mail service",
  "mail.protonmail.ch": "Proton's mail service",
  "mail.ovh.net": "OVH's mail service (Email > MX plan)",
};

export function isParkingName(name: string): boolean {
  return parkingEnds.some((end) => endsWithName(name, end));
}

/** Whose mail service the host is, undefined when it is none of those known. */
export function mailServiceOf(host: string): string | undefined {
  return Object.entries(forwardingEnds).find(([end]) => endsWithName(host, end))?.[1];
}

function endsWithName(name: string, end: string): boolean {
  return name === end || name.endsWith(`.${end}`);
}
