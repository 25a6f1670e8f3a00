/** The settings of [push]: how sleeping phones are woken. A part of relay-settings.ts. */
import { isIP } from "node:net";
import * as z from "zod";
import { settingNotes, whole, yesNo } from "./setting-notes.ts";

/** Ten years: as long as anything in these settings. */
const MAX_DAYS = 3650;

/** The proxy that Delta Chat's apps encrypt their tokens for. */
const DEFAULT_PROXY = "https://notifications.delta.chat/notify";

/** Tokens go nowhere unencrypted, but for this machine itself and names that are for tests. */
function isProxyUrl(text: string): boolean {
  const url = URL.parse(text);
  // As it stands: blanks, letters of other scripts and the like would be written in another way.
  if (url === null || url.href !== text || url.username + url.password + url.hash !== "") return false;
  if (url.protocol === "https:") return true;
  return url.protocol === "http:" && (isLoopback(url.hostname) || url.hostname.startsWith("_"));
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || (isIP(host) === 4 && host.startsWith("127."));
}

export const pushSettings = z
  .object({
    enabled: yesNo("Wake sleeping phones when there is mail, by the tokens that their apps give.", true),
    proxyUrl: z.stringFormat("proxy", isProxyUrl).max(500).default(DEFAULT_PROXY).register(settingNotes, {
      comment: "Who wakes them: it is sent the token, encrypted by the app, and nothing else.",
      allowed: "a link that begins with https://, with a path, without “#”, at most 500 characters",
    }),
    keepTokenDays: whole(
      "A device that did not renew its token for this many days is forgotten.",
      90,
      1,
      MAX_DAYS,
    ),
    retryHours: whole(
      "A notification that could not be handed over is given up after this many hours.",
      5,
      1,
      48,
    ),
  })
  .prefault({});
