/**
 * Puts the transport service together: two doors for Postfix (intake.ts), a courier behind them. Called by main.ts on the
 * device and, with other addresses, by tests.
 */

import { Resolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Counters } from "../lib/counters.ts";
import { type ListenTarget, listenSocket } from "../lib/listen.ts";
import type { Log } from "../lib/log.ts";
import type { ShutdownStep } from "../lib/shutdown.ts";
import { createBodyReader } from "./body.ts";
import { createCourier } from "./courier.ts";
import { createDestinations } from "./destinations.ts";
import { createHandBack } from "./hand-back.ts";
import { createHttpsPost } from "./https-post.ts";
import { createIntake } from "./intake.ts";
import { createMailDomains } from "./mail-domain.ts";
import { createPlaces } from "./places.ts";

export type TransportOptions = Readonly<{
  /** LMTP, for all mail to others. */
  listen: ListenTarget;
  /** SMTP, for what Postfix could not deliver by SMTP. */
  listenFallback: ListenTarget;
  /** Where Postfix takes mail for its own SMTP client, and the name to say there. */
  handBack: Readonly<{ host: string; port: number; name: string }>;
  /** Certificates of authorities, PEM. */
  rootsPath: string;
  /** Its own name is one for tests: relays in private networks are asked by HTTPS too. */
  isTestRelay: boolean;
  counters: Counters;
  log: Log;
  /** The device's own resolver unless given. */
  resolver?: Pick<Resolver, "resolve4" | "resolve6" | "resolveMx">;
  /** Another port than 443, on this machine as well: for tests. */
  https?: Readonly<{ port: number; allowLoopback: boolean }>;
}>;

/** The resolver of the device asks others itself; c-ares doubles the time for the second try. */
const DNS_TIMEOUT_MS = 2000;
const DNS_TRIES = 2;

/** Starts the service; resolves when it listens. @throws SocketInUseError, or the error of reading the roots. */
export async function startTransportService(options: TransportOptions): Promise<readonly ShutdownStep[]> {
  const { log, counters } = options;
  const resolver = options.resolver ?? new Resolver({ timeout: DNS_TIMEOUT_MS, tries: DNS_TRIES });
  const https = createHttpsPost({
    secureContext: createSecureContext({ ca: await readFile(options.rootsPath), minVersion: "TLSv1.2" }),
    resolve4: (name) => resolver.resolve4(name),
    resolve6: (name) => resolver.resolve6(name),
    allowPrivate: options.isTestRelay,
    ...options.https,
  });
  const recipients = counters.counter(
    "homing_transport_recipients_total",
    "Recipients at other relays by what became of the message: way is https, smtp (handed back to Postfix), deferred or refused",
  );
  const courier = createCourier({
    destinations: createDestinations(() => performance.now()),
    mailDomain: createMailDomains({
      resolveMx: (domain) => resolver.resolveMx(domain),
      now: () => performance.now(),
    }),
    https,
    handBack: createHandBack({ ...options.handBack, log }),
    bodies: createBodyReader(),
    places: createPlaces(),
    now: () => performance.now(),
    counted: (way, count) => recipients.add({ way }, count),
    log,
  });
  const first = createIntake({ protocol: "LMTP", take: courier.deliver, log });
  const fallback = createIntake({
    protocol: "SMTP",
    take: async (mail) => [await courier.retry(mail)],
    refuseRecipient: courier.refusalOf,
    log,
  });
  await listenSocket(first.server, options.listen);
  await listenSocket(fallback.server, options.listenFallback);
  log.info("taking mail for others");
  return [
    {
      name: "finish messages under way",
      run: () => Promise.all([first.close(), fallback.close()]).then(() => {}),
    },
    { name: "close connections to others", run: () => https.close() },
    { name: "write the counters", run: () => counters.close() },
  ];
}
