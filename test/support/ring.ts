/**
 * The frame of ring 2's test files: relays booted before the first test of a file and removed after the
 * last, and one reason in the name of everything that cannot run in this process.
 */
import { afterAll, beforeAll, describe } from "vitest";
import { createTestNetwork, missingForRelays, type RelayOptions, type TestNetwork } from "./network.ts";
import type { Relay } from "./relay.ts";

export type RelayRing = Readonly<{
  network: () => TestNetwork;
  relay: (domain: string) => Relay;
}>;

/** A group of tests that needs relays: `{ "_a.test": {} }` by domain. Skipped, with the reason, where none can run. */
export function describeRelays(
  title: string,
  relays: Readonly<Record<string, RelayOptions>>,
  body: (ring: RelayRing) => void,
): void {
  const missing = missingForRelays();
  describe.skipIf(missing !== undefined)(missing === undefined ? title : `${title} (${missing})`, () => {
    let network: TestNetwork | undefined;
    const running = new Map<string, Relay>();
    beforeAll(async () => {
      network = await createTestNetwork(title);
      for (const [domain, options] of Object.entries(relays)) {
        running.set(domain, await network.startRelay(domain, options));
      }
    });
    afterAll(() => network?.[Symbol.asyncDispose]());
    body({
      network: () => network!,
      relay: (domain) => running.get(domain)!,
    });
  });
}
