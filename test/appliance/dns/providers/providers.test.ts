/** The table of providers (appliance/dns/providers/providers.ts): what lists and forms take from it. */
import { describe, expect, it } from "vitest";
import type { ProviderDescription } from "../../../../appliance/dns/provider.ts";
import { providerById, providers } from "../../../../appliance/dns/providers/providers.ts";

describe("the providers", () => {
  it.each(providers)("have $name with a form and the way to a token", (provider: ProviderDescription) => {
    expect(providerById(provider.id)).toBe(provider);
    expect(provider.credentials.some(({ secret }) => secret)).toBe(true);
    expect(provider.tokenHelp[0]).toMatch(/^https:\/\/\S+$/);
    expect(provider.tokenHelp.length).toBeGreaterThan(1);
  });
});
