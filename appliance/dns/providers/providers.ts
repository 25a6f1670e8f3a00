/** All providers that Homing can change records at, by their id. Called by the installer's commands and wizard. */
import type { ProviderDescription } from "../provider.ts";
import { cloudflare } from "./cloudflare.ts";
import { desec } from "./desec.ts";
import { digitalocean } from "./digitalocean.ts";
import { dnsimple } from "./dnsimple.ts";
import { gandi } from "./gandi.ts";
import { hetzner } from "./hetzner.ts";
import { inwx } from "./inwx.ts";
import { linode } from "./linode.ts";
import { namecom } from "./namecom.ts";
import { netcup } from "./netcup.ts";
import { netcupCloud } from "./netcup-cloud.ts";
import { njalla } from "./njalla.ts";
import { ovh } from "./ovh.ts";
import { porkbun } from "./porkbun.ts";
import { rfc2136 } from "./rfc2136.ts";
import { vultr } from "./vultr.ts";

/** In the order in which lists show them. */
export const providers: readonly ProviderDescription[] = [
  cloudflare,
  desec,
  hetzner,
  porkbun,
  gandi,
  digitalocean,
  ovh,
  njalla,
  netcup,
  netcupCloud,
  inwx,
  linode,
  vultr,
  dnsimple,
  namecom,
  rfc2136,
];

export function providerById(id: string): ProviderDescription | undefined {
  return providers.find((provider) => provider.id === id);
}
