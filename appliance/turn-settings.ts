/** The settings of [turn]: help for calls between phones that cannot reach each other. A part of relay-settings.ts. */
import * as z from "zod";
import type { Refuse } from "./certificate-settings.ts";
import { mdnsPort, turnPort } from "./layout.ts";
import { whole, yesNo } from "./setting-notes.ts";

/** Below are the ports of other services (RFC 6335 §6). */
const FIRST_USER_PORT = 1024;
const LAST_PORT = 65_535;

export const turnSettings = z
  .object({
    enabled: yesNo(
      "Relay calls of phones that cannot reach each other (TURN). It takes your line's bandwidth, and UDP port 3478 too.",
      false,
    ),
    firstPort: whole(
      "First UDP port for the calls themselves; a router has to forward them all, like the other ports.",
      49_152,
      FIRST_USER_PORT,
      LAST_PORT,
    ),
    lastPort: whole("Last of these ports: each end of a call takes one.", 49_407, FIRST_USER_PORT, LAST_PORT),
    maxMegabits: whole(
      "Megabits a second, each way, for all calls together: mail needs some of your line too. An end with video takes 3.",
      20,
      1,
      10_000,
    ),
  })
  .prefault({});

/** Rules between two of these settings. */
export function checkTurn({ firstPort, lastPort }: z.output<typeof turnSettings>, refuse: Refuse): void {
  if (lastPort < firstPort) {
    refuse(["turn", "lastPort"], `found ${lastPort}; allowed: at least first_port, which is ${firstPort}`);
  }
  const taken = [
    [turnPort, "TURN itself"],
    [mdnsPort, "homing.local, for the network at home alone"],
  ] as const;
  for (const [port, use] of taken)
    if (firstPort <= port && port <= lastPort)
      refuse(
        ["turn", "firstPort"],
        `found ${firstPort}; allowed: ports without ${port}, which is that of ${use}`,
      );
}
