/** A name server of one's own, or of a registrar that lets its zones be changed by RFC 2136, as a provider. */
import { DnsProviderError, type ProviderDescription } from "../provider.ts";
import { parseTsigSecret, rfc2136Provider } from "../rfc2136.ts";
import { isDnsName, parseDnsServer } from "../server-address.ts";
import { tsigAlgorithms } from "../tsig.ts";

export const rfc2136: ProviderDescription = {
  id: "rfc2136",
  name: "a name server with RFC 2136",
  credentials: [
    { key: "server", label: "Name server", secret: false, hint: "ns.example.org, 192.0.2.1 or NAME:PORT" },
    { key: "zone", label: "Zone", secret: false, hint: "example.org" },
    { key: "key_name", label: "Name of the key", secret: false, hint: "as the server's settings have it" },
    {
      ...{ key: "algorithm", label: "Algorithm", secret: false, optional: true },
      hint: `${tsigAlgorithms.join(" or ")}; the first unless you say otherwise`,
    },
    {
      key: "secret",
      label: "Secret of the key",
      secret: true,
      hint: "Base64, as the server's settings have it",
    },
  ],
  tokenHelp: [
    "https://www.rfc-editor.org/rfc/rfc2136",
    "On the primary name server, make a TSIG key: `tsig-keygen -a hmac-sha256 relay` (BIND) or `keymgr -t relay hmac-sha256` (Knot).",
    "Allow this key to change the zone and to transfer it: `update-policy { grant relay zonesub ANY; }` and `allow-transfer { key relay; }` (BIND), or an ACL with `key: relay` and `action: [update, transfer]` (Knot).",
    "Type in the key's name, algorithm and secret.",
  ],
  nameServers: [],
  minTtl: 0,
  connect: (credentials) => {
    const field = (key: string) => (credentials[key] ?? "").trim();
    const wrong = (what: string) => new DnsProviderError(`${what}`, "credentials");
    const server = parseDnsServer(field("server"));
    if (server === undefined) throw wrong("the name server is NAME, ADDRESS, NAME:PORT or [IPV6]:PORT");
    const secret = parseTsigSecret(field("secret"));
    if (secret === undefined) throw wrong("the secret of the key is not Base64");
    const algorithm = tsigAlgorithms.find((one) => one === (field("algorithm") || tsigAlgorithms[0]));
    if (algorithm === undefined) throw wrong(`the algorithm is ${tsigAlgorithms.join(" or ")}`);
    const [zone, name] = [field("zone"), field("key_name")].map((text) =>
      text.toLowerCase().replace(/\.$/, ""),
    );
    if (!isDnsName(zone!)) throw wrong("the zone is no domain name");
    if (!isDnsName(name!)) throw wrong("the name of the key is no domain name");
    return rfc2136Provider({ server, zone: zone!, key: { name: name!, algorithm, secret } });
  },
};
