/**
 * What is said where nobody answers a question to the DNS: then nothing is known of any name, be it there or missing.
 * Called by inquiry.ts and change-actions.ts. Pure.
 */
import type { DnsWorld } from "./world.ts";

/** The DNS could not be asked; the message says who gave no answer, and the mend. */
export class NoDnsError extends Error {
  override name = "NoDnsError";
}

export const noDnsMend =
  "Connect this computer to the Internet. If it is connected, a firewall keeps questions to the DNS from passing " +
  "(port 53): allow them, or use another network. Then try again.";

/** "the DNS cannot be asked from here: …", by the resolvers and whoever else was asked. */
export function noDnsText(
  { resolvers }: Pick<DnsWorld, "resolvers">,
  others: readonly string[] = [],
): string {
  const own = `this computer's resolver (${resolvers.map(({ address }) => address).join(", ")})`;
  const asked = [...(resolvers.length === 0 ? [] : [own]), ...others];
  const why =
    asked.length === 0 ? "this computer has no resolver" : `no usable answer came from ${asked.join(", ")}`;
  return `the DNS cannot be asked from here: ${why}`;
}
