/** The settings of [metrics]: who may ask the relay for its figures. A part of relay-settings.ts. */
import * as z from "zod";
import { settingNotes, yesNo } from "./setting-notes.ts";

export const metricsSettings = z
  .object({
    network: yesNo(
      "Tell Prometheus on the private network (home, VPN) how the relay does, at http://RELAY:9464/metrics.",
      false,
    ),
    // A hash, so that neither this file nor what the services read holds a secret.
    tokenSha256: z
      .string()
      .regex(/^(?:[0-9a-f]{64})?$/)
      .default("")
      .register(settingNotes, {
        comment:
          "Only for who shows a token (docs/metrics.md): its SHA-256, as `sha256sum` writes it. Empty: needs none.",
        allowed: "64 digits and letters from a to f in quotes, or an empty text",
      }),
  })
  .prefault({});
