/** The stand-ins of all providers, by id; contract.test.ts runs over them. */
import { fakeCloudflare } from "./cloudflare.ts";
import { fakeDesec } from "./desec.ts";
import { fakeDigitalocean } from "./digitalocean.ts";
import type { MakeFake } from "./fake-provider.ts";
import { fakeGandi } from "./gandi.ts";
import { fakeHetzner } from "./hetzner.ts";
import { fakeOvh } from "./ovh.ts";
import { fakePorkbun } from "./porkbun.ts";

export const fakes: Readonly<Record<string, MakeFake>> = {
  cloudflare: fakeCloudflare,
  desec: fakeDesec,
  hetzner: fakeHetzner,
  porkbun: fakePorkbun,
  gandi: fakeGandi,
  digitalocean: fakeDigitalocean,
  ovh: fakeOvh,
};
