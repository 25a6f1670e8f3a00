/**
 * The settings of [wifi]: which wireless network a Raspberry Pi joins. The password is no setting: it lies in
 * keys/wifi-password.txt. A part of relay-settings.ts.
 */
import * as z from "zod";
import type { Refuse } from "./certificate-settings.ts";
import { settingNotes, yesNo } from "./setting-notes.ts";
import { wifiCountryProblem, wifiNetworkProblem } from "./wifi.ts";

const judged = (problemOf: (text: string) => string | undefined) =>
  z.string().superRefine((text, context) => {
    const problem = text === "" ? undefined : problemOf(text);
    if (problem !== undefined) {
      context.addIssue({ code: "custom", message: `found ${JSON.stringify(text)}; ${problem}` });
    }
  });

export const wifiSettings = z
  .object({
    network: judged(wifiNetworkProblem).default("").register(settingNotes, {
      comment:
        "Name of the Wi-Fi network that a Raspberry Pi joins; its password goes into keys/wifi-password.txt. Empty: none.",
      allowed: "1 to 32 bytes in quotes, or an empty text",
    }),
    country: judged(wifiCountryProblem).default("").register(settingNotes, {
      comment: "The country where it stands, whose rules for radio it keeps: two letters, like “DE”.",
      allowed: "two capital letters of ISO 3166 in quotes, or an empty text",
    }),
    hidden: yesNo("The network does not send out its name, so it has to be asked for.", false),
    open: yesNo("The network has no password. Everybody nearby can then see whom the relay talks to.", false),
  })
  .prefault({});

/** Rules between two of these settings. */
export function checkWifi({ network, country }: z.output<typeof wifiSettings>, refuse: Refuse): void {
  if (network === "" || country !== "") return;
  refuse(["wifi", "country"], "it is empty, but there is a network, which needs it: two letters, like “DE”");
}
