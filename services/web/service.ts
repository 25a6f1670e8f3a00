/**
 * Puts the web service together: certificate, routes, doors. Called by main.ts on the device and, with other paths, by
 * tests.
 */

import type { Counters } from "../lib/counters.ts";
import type { ListenTarget } from "../lib/listen.ts";
import { describeError, type Log } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import type { ShutdownStep } from "../lib/shutdown.ts";
import { openAccepted } from "./accepted.ts";
import { createAccountClient, currentMode } from "./account-client.ts";
import { acmeChallengeRoutes } from "./acme-challenge.ts";
import { watchCertificate } from "./certificate.ts";
import { type Front, openFront } from "./front.ts";
import { createHomeSite } from "./home/home-site.ts";
import { type WebLimits, webLimits } from "./limits.ts";
import { mxdelivRoutes } from "./mxdeliv.ts";
import { createPages, type Pages, type PagesOptions } from "./pages/pages.ts";
import { readWebFolders } from "./pages/web-folder.ts";
import type { WebCount } from "./serve.ts";
import { signUpRoutes } from "./sign-up.ts";
import { createSite } from "./site.ts";
import { autoconfigRoutes, mtaStsRoutes, securityTextRoutes } from "./well-known.ts";

export type WebServiceOptions = Readonly<{
  settingsPath: string;
  certificate: Readonly<{ chain: string; key: string }>;
  acmeChallenges: string;
  /** Folders of page files; what is in a later one stands in for the same of the first, which is whole. */
  pages: readonly string[];
  /** Where services/auth makes accounts. */
  signUpSocket: string;
  /** Where Postfix takes mail that came by HTTPS. */
  mail: Readonly<{ host: string; port: number }>;
  /** The file that tells which messages came by HTTPS. */
  acceptedMail: string;
  /** What the status page at home is made of (home/home-site.ts). */
  status: Readonly<{ facts: string; canary: string }>;
  /** Port 80, and where services/mux hands over. */
  listen: Readonly<{ http: ListenTarget; tls: ListenTarget }>;
  limits?: WebLimits;
  /** Without it nothing is counted. */
  counters?: Counters;
  log: Log;
}>;

/**
 * Starts the service; resolves when it listens.
 * @throws SettingsError, SocketInUseError, or what is wrong with the certificate or the pages.
 */
export async function startWebService(
  options: WebServiceOptions,
): Promise<{ front: Front; stop: readonly ShutdownStep[] }> {
  const { log, limits = webLimits } = options;
  const config = await loadRelayConfig(options.settingsPath);
  const certificate = await watchCertificate(options.certificate, log);
  const accounts = createAccountClient(options.signUpSocket);
  const signUpMode = currentMode(accounts, config.signUp.mode, log);
  const pages = await readPages(options.pages, { config, signUpMode }, log);
  for (const problem of pages.problems) log.warn("the pages have a mistake", { problem });
  const accepted = openAccepted(options.acceptedMail, log);
  const site = createSite({
    domain: config.domain,
    everywhere: acmeChallengeRoutes(options.acmeChallenges),
    mtaSts: mtaStsRoutes(config.domain),
    relay: [
      signUpRoutes({ domain: config.domain, accounts, pages, log }),
      autoconfigRoutes(config.domain),
      securityTextRoutes(config, () => new Date()),
      mxdelivRoutes({
        domain: config.domain,
        postfix: options.mail,
        accepted,
        maxMessageBytes: config.messages.maxMessageBytes,
        maxRecipients: config.messages.maxRecipients,
        log,
      }),
    ],
    pages: pages.routes,
    home: createHomeSite({ domain: config.domain, ...options.status, accounts, pages: pages.routes, log }),
    problemPage: pages.problemPage,
  });
  const front = await openFront({
    site,
    limits,
    log,
    ...(options.counters && { count: webCount(options.counters) }),
    secureContext: certificate.context,
    listen: options.listen,
  });
  log.info("answering on the web", { domain: config.domain });
  return {
    front,
    stop: [
      { name: "close connections", run: () => front.close() },
      { name: "let go of the account service", run: () => accounts.close() },
      { name: "close the list of messages", run: () => accepted.close() },
      { name: "stop watching the certificate", run: () => certificate.stop() },
      { name: "write the counters", run: () => options.counters?.close() },
    ],
  };
}

/** The operator's pages, or those of Homing alone when no pages can be made of the others. */
async function readPages(
  folders: readonly string[],
  parts: Omit<PagesOptions, "files">,
  log: Log,
): Promise<Pages> {
  try {
    return createPages({ ...parts, files: await readWebFolders(folders) });
  } catch (cause) {
    // Whatever it is: a page file keeps nobody from the rest of the service.
    log.error("the operator's pages cannot be shown, showing the usual ones", {
      problem: describeError(cause),
    });
    return createPages({ ...parts, files: await readWebFolders(folders.slice(0, 1)) });
  }
}

function webCount(counters: Counters): WebCount {
  const answers = counters.counter("homing_web_answers_total", "Answers to requests, by status.");
  const turnedAway = counters.counter(
    "homing_web_turned_away_total",
    "Connections closed for want of places: “busy” came too late, “network” had too many, “idle” and “unread” made room.",
  );
  return {
    answered: (status) => answers.add({ status: String(status) }),
    turnedAway: (reason) => turnedAway.add({ reason }),
  };
}
