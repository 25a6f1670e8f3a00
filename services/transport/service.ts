/**
 * Puts the transport service together: five doors for Postfix (intake.ts), a courier behind them. Called by main.ts on the
 * device and, with other addresses, by tests.
 */

import { Resolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Counters } from "../lib/counters.ts";
import { type ListenTarget, listenSocket } from "../lib/listen.ts";
import type { Log } from "../lib/log.ts";
import type { ShutdownStep } from "../lib/shutdown.ts";
import type { SmtpReply } from "../lib/smtp-client.ts";
import { createBodyReader } from "./body.ts";
import { createCourier, type Door } from "./courier.ts";
import { createDestinations } from "./destinations.ts";
import { createHttpsPost } from "./https-post.ts";
import { createIntake } from "./intake.ts";
import { readKnownWays, startKnownWays } from "./known-ways.ts";
import { createMailDomains } from "./mail-domain.ts";
import { createPlaces } from "./places.ts";
import { asWaiting } from "./reply.ts";

export type TransportOptions = Readonly<{
  /** Where Postfix comes (courier.ts). */
  listen: Readonly<Record<Door, ListenTarget>>;
  /** The file in which services/auth finds what is known of other domains. */
  knownWaysPath: string;
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

const doors: readonly Door[] = ["known", "known again", "first", "first again", "last"];

/** Not one for each trouble with a message: those are told to Postfix, which logs them. */
const trouble: SmtpReply = {
  code: 451,
  text: "4.3.0 trouble with the delivery to others, trying again later",
};

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
    "Recipients at other relays by what became of the message: way is https, smtp (left to Postfix), deferred or refused",
  );
  const destinations = createDestinations(() => performance.now());
  destinations.restore(await readKnownWays(options.knownWaysPath));
  const courier = createCourier({
    destinations,
    mailDomain: createMailDomains({
      resolveMx: (domain) => resolver.resolveMx(domain),
      now: () => performance.now(),
    }),
    https,
    bodies: createBodyReader(),
    places: createPlaces(),
    now: () => performance.now(),
    counted: (way, count) => recipients.add({ way }, count),
    log,
  });
  const intakes = doors.map((door) => ({
    door,
    intake: createIntake({
      take: (mail) => courier.deliver(mail, door),
      refuseRecipient: (...envelope) => courier.refuseRecipient(...envelope, door),
      trouble: door === "last" ? trouble : asWaiting(trouble, "SMTP"),
      offersTls: door === "last",
      log,
    }),
  }));
  for (const { door, intake } of intakes) await listenSocket(intake.server, options.listen[door]);
  const stopKnownWays = startKnownWays({
    path: options.knownWaysPath,
    knownWays: destinations.knownWays,
    log,
  });
  log.info("taking mail for others");
  return [
    {
      name: "finish messages under way",
      run: () => Promise.all(intakes.map(({ intake }) => intake.close())).then(() => {}),
    },
    { name: "write down the ways to others", run: stopKnownWays },
    { name: "close connections to others", run: () => https.close() },
    { name: "write the counters", run: () => counters.close() },
  ];
}
