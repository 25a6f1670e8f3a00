/** The units of services/metadata: one service, and a socket for each that asks it. Listed in units.ts. */
import { dataPaths, runPaths, users } from "../layout.ts";
import { serviceUnit, socketUnit, unixSocket } from "./service-unit.ts";

/** Unit file text by unit name. `hide`: directories with secrets of others. */
export function metadataUnits(hide: readonly string[]): Record<string, string> {
  const title = "IMAP metadata and push";
  return {
    "homing-metadata.socket": socketUnit(
      "metadata",
      title,
      unixSocket(runPaths.metadataSocket, users.vmail.name),
    ),
    "homing-news.socket": socketUnit(
      "news",
      `${title} (news of mail)`,
      `${unixSocket(runPaths.newsSocket, users.door.name)}\nService=homing-metadata.service`,
    ),
    "homing-metadata.service": serviceUnit("metadata", title, users.metadata.name, {
      turn: "mail",
      sockets: ["homing-metadata.socket", "homing-news.socket"],
      // The notification proxy.
      network: "world",
      write: [dataPaths.metadata, runPaths.metadataState, runPaths.metrics],
      hide: [...hide, dataPaths.accounts, dataPaths.mail],
    }),
  };
}
