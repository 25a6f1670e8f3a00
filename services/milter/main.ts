/**
 * The milter service: started by homing-milter.service, called by Postfix over a unix socket for every message.
 * Reads the relay's settings and the DKIM keys once, then serves connections until it is asked to stop.
 */
import { Resolver } from "node:dns/promises";
import { createServer, type Socket } from "node:net";
import { dkimStatePath, runPaths } from "../../appliance/layout.ts";
import { listenSocket } from "../lib/listen.ts";
import { createLog } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import { exitOnSignals, trackConnections } from "../lib/shutdown.ts";
import { createRules } from "./rules.ts";
import { type RunningSession, serveSession } from "./session.ts";
import { openSigningKeys } from "./signing-key.ts";

/**
 * A DNS server gets this long for an answer, and a second try. Postfix waits for the end of a message for
 * milter_content_timeout (60 s, appliance/files/postfix-main.ts), the other side for at least 10 minutes (RFC 5321 §4.5.3.2.6).
 */
const DNS_TIMEOUT_MS = 4000;
const DNS_TRIES = 2;

const log = createLog();
const config = await loadRelayConfig();
const keys = await openSigningKeys({
  config,
  keyPath: runPaths.dkimKey,
  nextKeyPath: runPaths.dkimNextKey,
  statePath: dkimStatePath,
  log,
});
const resolver = new Resolver({ timeout: DNS_TIMEOUT_MS, tries: DNS_TRIES });
const daemons = createRules({
  key: keys.current,
  sending: config.sending,
  resolveTxt: (name) => resolver.resolveTxt(name),
  now: () => performance.now(),
});

const sessions = new WeakMap<Socket, RunningSession>();
const server = createServer((socket) => sessions.set(socket, serveSession(socket, { daemons, log })));
const connections = trackConnections(server, (socket) => sessions.get(socket)?.finish());
exitOnSignals(log, [{ name: "finish messages under way", run: connections.close }]);
await listenSocket(server, { name: "milter", path: runPaths.milterSocket });
log.info("ready", { domain: config.domain, selector: keys.current().selector });
