/** The stand-ins of all providers, by id; contract.test.ts runs over them. */
import { fakeCloudflare } from "./cloudflare.ts";
import { fakeDesec } from "./desec.ts";
import { fakeDigitalocean } from "./digitalocean.ts";
import { fakeDnsimple } from "./dnsimple.ts";
import type { MakeFake } from "./fake-provider.ts";
import { fakeGandi } from "./gandi.ts";
import { fakeHetzner } from "./hetzner.ts";
import { fakeInwx } from "./inwx.ts";
import { fakeLinode } from "./linode.ts";
import { fakeNamecom } from "./namecom.ts";
import { fakeNetcup } from "./netcup.ts";
import { fakeNetcupCloud } from "./netcup-cloud.ts";
import { fakeNjalla } from "./njalla.ts";
import { fakeOvh } from "./ovh.ts";
import { fakePorkbun } from "./porkbun.ts";
import { fakeVultr } from "./vultr.ts";

export const fakes: Readonly<Record<string, MakeFake>> = {
  cloudflare: fakeCloudflare,
  desec: fakeDesec,
  hetzner: fakeHetzner,
  porkbun: fakePorkbun,
  gandi: fakeGandi,
  digitalocean: fakeDigitalocean,
  ovh: fakeOvh,
  njalla: fakeNjalla,
  netcup: fakeNetcup,
  "netcup-cloud": fakeNetcupCloud,
  inwx: fakeInwx,
  linode: fakeLinode,
  vultr: fakeVultr,
  dnsimple: fakeDnsimple,
  namecom: fakeNamecom,
};
