/** The stand-ins of all providers, by id; contract.test.ts runs over them. */
import { fakeCloudflare } from "./cloudflare.ts";
import type { MakeFake } from "./fake-provider.ts";

export const fakes: Readonly<Record<string, MakeFake>> = {
  cloudflare: fakeCloudflare,
};
