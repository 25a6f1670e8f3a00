/**
 * Well-known keepers of zones that no adapter of ours speaks to (no interface for everybody, or one too heavy): how
 * to know them by their name servers, and where the owner enters records by hand. Read by recognize-provider.ts,
 * and through it by whoever tells the owner what to do. Data only.
 */

export type HandProvider = Readonly<{
  name: string;
  /** Ends of the names of its name servers. */
  nameServers: readonly string[];
  /** Where records are entered, then what is peculiar there: lines of plain words. */
  path: readonly string[];
}>;

/** What holds where nothing more is known. */
export const anywhere: readonly string[] = [
  "Sign in where the domain was bought, open the domain, and look for “DNS”, “DNS records”, “Zone editor” or “Name servers”.",
  "Forms that ask for a host or name usually want it without the domain: “www”, not the whole name; the domain itself is “@” or stays empty.",
];

const relative = "“Host” is the name without the domain; the domain itself is “@”.";

export const providersByHand: readonly HandProvider[] = [
  {
    name: "Namecheap",
    nameServers: ["registrar-servers.com"],
    path: [
      "Domain List → Manage (beside the domain) → Advanced DNS → Host Records → Add New Record.",
      relative,
      "For the MX record first choose “Custom MX” under Mail Settings on the same page; else it is not served.",
      "SRV records have fields of their own: Service “_imaps”, Protocol “_tcp”.",
      "Delete the parking records of a new domain: “URL Redirect Record” for @ and the CNAME of www to parkingpage.namecheap.com.",
    ],
  },
  {
    name: "GoDaddy",
    nameServers: ["domaincontrol.com"],
    path: [
      "My Products → Domains → the domain → DNS → DNS Records → Add New Record.",
      "“Name” is the name without the domain; the domain itself is “@”.",
      "Delete the A record “Parked” or “WebsiteBuilder Site”, and edit the CNAME “www” that a new domain has.",
      "SRV records have fields of their own: Service “_imaps”, Protocol “_tcp”, Name “@”.",
    ],
  },
  {
    name: "Amazon Route 53",
    nameServers: [".awsdns-"],
    path: [
      "Route 53 → Hosted zones → the domain → Create record.",
      "A TXT value goes into double quotes; one longer than 255 characters is cut into several, each in quotes, with a space between.",
    ],
  },
  {
    name: "Google Cloud DNS or Squarespace Domains",
    nameServers: ["googledomains.com", "squarespacedns.com"],
    path: [
      "Squarespace: account.squarespace.com/domains → the domain → DNS → DNS Settings → Custom records → Add record.",
      "Google Cloud: Network services → Cloud DNS → the zone → Add standard.",
      "Squarespace may have defaults for its own pages: delete those for @ and www.",
    ],
  },
  {
    name: "Azure DNS",
    nameServers: ["azure-dns.com", "azure-dns.net", "azure-dns.org", "azure-dns.info"],
    path: ["DNS zones → the domain → Recordsets → Add."],
  },
  {
    name: "IONOS",
    nameServers: ["ui-dns.com", "ui-dns.de", "ui-dns.org", "ui-dns.biz"],
    path: [
      "Domains & SSL → the domain → DNS → Add record.",
      "Delete the MX and SPF records of its own mail service first.",
    ],
  },
  {
    name: "STRATO",
    nameServers: ["rzone.de"],
    path: [
      "Domains → Domain management → the domain's cogwheel → DNS.",
      "Each type of record has an entry of its own there; TXT and CNAME records share one.",
    ],
  },
  {
    name: "united-domains",
    nameServers: ["udag.de", "udag.net", "udag.org"],
    path: ["Domain portfolio → the domain → DNS (further entries) → Add."],
  },
  {
    name: "All-Inkl",
    nameServers: ["kasserver.com"],
    path: ["KAS (kas.all-inkl.com) → Tools → DNS settings → the domain → New DNS entry."],
  },
  {
    name: "Infomaniak",
    nameServers: ["infomaniak.com", "infomaniak.ch"],
    path: ["Manager → Domains → the domain → DNS zone → Add a record."],
  },
  {
    name: "TransIP",
    nameServers: ["transip.net", "transip.nl", "transip.eu"],
    path: ["Control panel → Domain → the domain → DNS → add at the end of the table, then Save."],
  },
  {
    name: "Hostinger",
    nameServers: ["dns-parking.com", "hostinger.com"],
    path: ["hPanel → Domains → the domain → DNS / Nameservers → Manage DNS records → Add Record."],
  },
  {
    name: "Namesilo",
    nameServers: ["dnsowl.com"],
    path: ["Domain Manager → the blue globe beside the domain (Manage DNS) → Add record."],
  },
  {
    name: "Dynadot",
    nameServers: ["dyna-ns.net", "dynadot.com"],
    path: [
      "My Domains → the domain → DNS Settings → Dynadot DNS. The domain's own records and those of sub-domains are two tables.",
    ],
  },
  {
    name: "Spaceship",
    nameServers: ["spaceship.net"],
    path: ["Launchpad → Advanced DNS → the domain → Custom records → Add record."],
  },
  {
    name: "Hurricane Electric",
    nameServers: ["he.net"],
    path: ["dns.he.net → the domain → New A, New MX and so on."],
  },
  {
    name: "FreeDNS (afraid.org)",
    nameServers: ["afraid.org"],
    path: ["freedns.afraid.org → Subdomains → Add. TXT values go into double quotes."],
  },
  {
    name: "ClouDNS",
    nameServers: ["cloudns.net", "cloudns.uk"],
    path: ["DNS Hosting → the zone → Add record."],
  },
  {
    name: "Bunny DNS",
    nameServers: ["bunny.net"],
    path: ["dash.bunny.net → DNS → the zone → Add Record."],
  },
  {
    name: "Scaleway",
    nameServers: ["scw.cloud"],
    path: ["Console → Domains and DNS → the domain → DNS zones → the zone → Add a record."],
  },
  {
    name: "Dynu",
    nameServers: ["dynu.com"],
    path: ["Control Panel → DDNS Services → the domain → DNS Records."],
  },
  {
    name: "easyDNS",
    nameServers: ["easydns.com", "easydns.net", "easydns.org", "easydns.info"],
    path: ["Manage domains → the domain → DNS → Edit DNS. TXT and SRV have a tab each."],
  },
  {
    name: "one.com",
    nameServers: ["one.com"],
    path: ["Control panel → DNS settings → DNS records → Create new record."],
  },
  {
    name: "Wix",
    nameServers: ["wixdns.net"],
    path: [
      "Domains → the domain's three dots → Manage DNS Records. The A record of the domain itself leads to the Wix page.",
    ],
  },
  {
    name: "Vercel",
    nameServers: ["vercel-dns.com"],
    path: ["Dashboard → Domains → the domain → DNS Records → Add."],
  },
];
