/**
 * The units of what accompanies mail on its way (services/courier.ts): services/transport, door and metadata in one
 * process, and a socket for each way to come to them. Listed in units.ts.
 */
import { dirname } from "node:path";
import {
  dataPaths,
  runPaths,
  transportFallbackListen,
  transportFirstAgainListen,
  transportFirstListen,
  transportKnownAgainListen,
  transportKnownListen,
  users,
} from "../layout.ts";
import { serviceUnit, socketUnit, unixSocket } from "./service-unit.ts";

const unit = "homing-courier.service";

type Address = Readonly<{ host: string; port: number }>;

/** Unit file text by unit name. `hide`: directories with secrets of others. */
export function courierUnits(hide: readonly string[]): Record<string, string> {
  const sockets = courierSockets();
  return {
    ...sockets,
    [unit]: serviceUnit("courier", "Mail on its way", users.courier.name, {
      turn: "mail",
      sockets: Object.keys(sockets),
      // Other relays and the notification proxy. Dovecot is asked by its sockets.
      network: "world",
      write: [
        dirname(runPaths.knownWays),
        dataPaths.door,
        dataPaths.metadata,
        runPaths.metadataState,
        runPaths.metrics,
      ],
      hide: [...hide, dataPaths.accounts, dataPaths.mail],
    }),
  };
}

function courierSockets(): Record<string, string> {
  const socket = (name: string, title: string, listen: string) => ({
    [`homing-${name}.socket`]: socketUnit(name, title, `${listen}\nService=${unit}`),
  });
  const port = ({ host, port }: Address) => `ListenStream=${host}:${port}`;
  return {
    ...socket("door", "Door of the mailboxes", unixSocket(runPaths.doorSocket, "postfix")),
    ...socket("metadata", "IMAP metadata", unixSocket(runPaths.metadataSocket, users.vmail.name)),
    ...socket("news", "News of mail, for push", unixSocket(runPaths.newsSocket, users.courier.name)),
    ...socket("transport", "Delivery to other relays", port(transportKnownListen)),
    ...socket("transport-first", "Delivery to other domains, the first time", port(transportFirstListen)),
    ...socket(
      "transport-again",
      "Delivery to other relays, the second offer of an attempt",
      port(transportKnownAgainListen),
    ),
    ...socket(
      "transport-first-again",
      "Delivery to other domains, the second offer of an attempt",
      port(transportFirstAgainListen),
    ),
    ...socket(
      "transport-fallback",
      "Delivery to other relays, when SMTP failed",
      port(transportFallbackListen),
    ),
  };
}
