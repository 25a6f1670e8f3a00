/**
 * Whose name servers these are: of a provider that we have an adapter for, of one where the owner enters records by
 * hand, or of nobody we know. Pure; called where the owner is asked for a provider and where a zone is shown.
 */
import { anywhere, type HandProvider, providersByHand } from "./by-hand.ts";
import type { ProviderDescription } from "./provider.ts";
import { providers } from "./providers/providers.ts";

export type RecognizedProvider =
  | Readonly<{ how: "interface"; name: string; provider: ProviderDescription }>
  | Readonly<{ how: "hand"; name: string; path: readonly string[] }>;

/**
 * Takes the names of the name servers as DNS has them (case and final dot do not matter). A zone may have helpers
 * elsewhere, so the provider with most of the servers counts; undefined when most are nobody's we know.
 */
export function recognizeProvider(nameServers: readonly string[]): RecognizedProvider | undefined {
  const known: readonly (ProviderDescription | HandProvider)[] = [...providers, ...providersByHand];
  const names = [...new Set(nameServers.map((name) => name.toLowerCase().replace(/\.$/, "")))];
  const counts = known
    .map((who) => ({
      who,
      count: names.filter((name) => who.nameServers.some((end) => endsIn(name, end))).length,
    }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count);
  const first = counts[0];
  if (first === undefined || first.count * 2 < names.length || counts[1]?.count === first.count)
    return undefined;
  const { who } = first;
  if ("path" in who) return { how: "hand", name: who.name, path: who.path };
  return { how: "interface", name: who.name, provider: who };
}

/** Where the owner enters records, in lines of plain words; something general when nobody knows whose servers they are. */
export function pathByHand(nameServers: readonly string[]): readonly string[] {
  const who = recognizeProvider(nameServers);
  return who?.how === "hand" ? who.path : anywhere;
}

/** Whole labels at the end; an end with a leading dot may stand anywhere ("ns-1.awsdns-07.co.uk"). */
function endsIn(name: string, end: string): boolean {
  return end.startsWith(".") ? name.includes(end) : name === end || name.endsWith(`.${end}`);
}
