/**
 * The host `_c.test` that is no relay, at the test machine's own address: a DKIM key that the DNS confirms, and
 * a mail server that keeps what it gets. Used by the ring 2 tests of what strangers do.
 */
import { dkimPublicKey, relayRecords } from "../../appliance/dns/records.ts";
import { makeSigningKey, type SigningKey } from "./mail.ts";
import { type MailSink, startMailSink } from "./mail-sink.ts";
import { CLIENT_ADDRESS, type TestNetwork } from "./network.ts";

export const THIRD_DOMAIN = "_c.test";

export type ThirdHost = AsyncDisposable & Readonly<{ key: SigningKey; sink: MailSink }>;

/** Publishes its records and opens its port 25. */
export async function openThirdHost(network: TestNetwork): Promise<ThirdHost> {
  const key = makeSigningKey(THIRD_DOMAIN, "one");
  const dkim = [{ selector: key.selector, publicKey: dkimPublicKey(key.privateKeyPem) }];
  await network.publish(relayRecords({ domain: THIRD_DOMAIN, dkim, addresses: [CLIENT_ADDRESS] }));
  const sink = await startMailSink(CLIENT_ADDRESS, THIRD_DOMAIN);
  return { key, sink, [Symbol.asyncDispose]: () => sink[Symbol.asyncDispose]() };
}
