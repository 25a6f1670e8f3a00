/**
 * The frame of ring 2's test files: relays booted before the first test of a file and removed after the
 * last, and one reason in the name of everything that cannot run in this process.
 */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe } from "vitest";
import { openInbox } from "./imap-session.ts";
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

export type Account = Readonly<{ address: string; password: string }>;

/** What a client invents: nine characters and a long password. */
export function inventAccount(domain: string): Account {
  return {
    address: `${randomBytes(5).toString("hex").slice(0, 9)}@${domain}`,
    password: randomBytes(15).toString("base64url"),
  };
}

/** Makes an account on the relay by its first login. */
export async function makeAccount(relay: Relay): Promise<Account> {
  const account = inventAccount(relay.domain);
  await using _session = await openInbox(relay.address, account.address, account.password);
  return account;
}
