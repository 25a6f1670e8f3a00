/**
 * Names inside a zone: providers want them without the zone's own name. Pure; called by the providers and by whoever
 * looks for the zone that holds a name. All names are ASCII, in lower case and without the final dot.
 */
import { DnsProviderError } from "./provider.ts";

/** The name without the zone's; "" for the zone itself. Throws DnsProviderError for a name outside. */
export function relativeName(name: string, zone: string): string {
  if (name === zone) return "";
  if (!name.endsWith(`.${zone}`)) throw new DnsProviderError(`${name} is not in the zone ${zone}`);
  return name.slice(0, -zone.length - 1);
}

/** The whole name of one inside the zone; the zone itself is "" or "@". */
export function absoluteName(relative: string, zone: string): string {
  const name = relative.toLowerCase();
  return name === "" || name === "@" ? zone : `${name}.${zone}`;
}

export function isInZone(name: string, zone: string): boolean {
  return name === zone || name.endsWith(`.${zone}`);
}

/**
 * The value with its host name absolute: where a provider keeps values as zone files have them, a name without the final
 * dot goes on with the zone's (RFC 1035 §5.1), which owners often did not mean.
 */
export function absoluteTarget(type: string, value: string, zone: string): string {
  if (!["CNAME", "MX", "SRV", "NS", "PTR", "DNAME", "ALIAS"].includes(type) || value.endsWith("."))
    return value;
  return value.endsWith("@") ? `${value.slice(0, -1)}${zone}.` : `${value}.${zone}.`;
}

/** The closest of the zones that holds the name. */
export function zoneOf(name: string, zones: readonly string[]): string | undefined {
  return zones.filter((zone) => isInZone(name, zone)).sort((a, b) => b.length - a.length)[0];
}
