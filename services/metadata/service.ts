/**
 * Puts the metadata service together: a Dovecot dict server on a unix socket, and notifications for phones. Called by main.ts on the device and, with other paths, by tests.
 */

import { Resolver } from "node:dns/promises";
import { chmodSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import type { Counters } from "../lib/counters.ts";
import { type ListenTarget, listenSocket } from "../lib/listen.ts";
import type { Log } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import { type ShutdownStep, trackConnections } from "../lib/shutdown.ts";
import { findAddresses } from "./addresses.ts";
import { countMetadata } from "./count.ts";
import { createDictionary } from "./dictionary.ts";
import { openKeptQueue } from "./kept-queue.ts";
import { serveNews } from "./news-session.ts";
import { openNotificationQueue } from "./notification-queue.ts";
import { createNotifier } from "./notifier.ts";
import { createProxyPost } from "./proxy-post.ts";
import { serveSession } from "./session.ts";
import type { MetadataStore } from "./store.ts";
import { openStoreWithSpare } from "./store-with-spare.ts";
import { answersStun } from "./stun.ts";
import { announceTurn, type Turn } from "./turn.ts";

export type MetadataOptions = Readonly<{
  settingsPath: string;
  /** Outlives a reboot: tokens, last logins, notifications that failed. */
  dataDirectory: string;
  /** Outlives a restart of the service: notifications that were not tried yet, and what the disk does not take. */
  stateDirectory: string;
  /** Where the status page finds why tokens and logins cannot be kept; there only while it is so. */
  problemPath: string;
  /** There when a time server has set the clock. */
  clockSyncedPath: string;
  /** Certificates of authorities, PEM. */
  rootsPath: string;
  /** The TURN server; read only where the settings want one. `problemPath`: why no client is told of it, as above. */
  turn: Readonly<{ secretPath: string; port: number; problemPath: string }>;
  listen: Readonly<{ dict: ListenTarget; news: ListenTarget }>;
  counters: Counters;
  log: Log;
}>;

/**
 * Starts the service; resolves when it listens. A store that cannot be used does not keep it from that.
 * @throws SettingsError, SocketInUseError, or DatabaseError of a file in memory; nothing is left open then.
 */
export async function startMetadataService(options: MetadataOptions): Promise<readonly ShutdownStep[]> {
  const { log, counters, listen } = options;
  const config = await loadRelayConfig(options.settingsPath);
  /** The last one opened first. */
  const steps: ShutdownStep[] = [{ name: "write the counters", run: () => counters.close() }];
  const opened = (name: string, run: ShutdownStep["run"]) => void steps.unshift({ name, run });
  try {
    const store = openStore(options, config);
    opened("close the metadata store", () => store.close());
    const turn = openTurn(options, config);
    opened("end looking for the TURN server", turn.stop);
    const dictionary = createDictionary({ config, store, turn: turn.value, now });
    const push = await openPush(options, config, store);
    opened("end notifications", push.close);
    const isClockSynced = () => existsSync(options.clockSyncedPath);
    const counting = countMetadata({ counters, store, queues: push.queues, isClockSynced, now, log });
    opened("end counting", counting.stop);
    const listening = async (target: ListenTarget, serve: (socket: Socket) => void): Promise<void> => {
      const server = createServer(serve);
      const connections = trackConnections(server);
      await listenSocket(server, target);
      opened(`close connections (${target.name})`, () => connections.close());
    };
    await listening(listen.dict, (socket) => serveSession(socket, { dictionary, log }));
    await listening(listen.news, (socket) => serveNews(socket, { told: push.told, log }));
  } catch (cause) {
    for (const { run } of steps) await run();
    throw cause;
  }
  log.info("answering for metadata", { domain: config.domain, push: config.push.enabled });
  return steps;
}

function now(): number {
  return Date.now() / 1000;
}

function openStore(options: MetadataOptions, config: RelayConfig): MetadataStore {
  return openStoreWithSpare({
    path: join(options.dataDirectory, "metadata.sqlite"),
    sparePath: join(options.stateDirectory, "metadata.sqlite"),
    keepTokenDays: config.push.keepTokenDays,
    tell: teller(options.problemPath, options.log),
    now,
    log: options.log,
  });
}

/** Writes for the status page what is wrong, and takes it away when nothing is. */
function teller(path: string, log: Log): (problem: string | undefined) => void {
  return (problem) => {
    try {
      rmSync(path, { force: true });
      if (problem === undefined) return;
      writeFileSync(path, `${problem}\n`);
      // The services' umask hides their files from others.
      chmodSync(path, 0o644);
    } catch (cause) {
      log.error("cannot tell the status page what is wrong", { path }, cause);
    }
  };
}

/** The announcing of the TURN server, if the settings want one. */
function openTurn({ turn, log }: MetadataOptions, config: RelayConfig): Turn {
  if (!config.turn.enabled) return { value: () => undefined, stop: () => {} };
  const resolver = new Resolver();
  return announceTurn({
    domain: config.domain,
    port: turn.port,
    readSecret: () => readFile(turn.secretPath, "utf8"),
    resolve: (domain) => findAddresses(domain, resolver),
    answersStun,
    now,
    tell: teller(turn.problemPath, log),
    log,
  });
}

/** The notifications, if the settings want them. Otherwise what was there of them is forgotten. */
async function openPush(options: MetadataOptions, config: RelayConfig, store: MetadataStore) {
  const { counters, log } = options;
  const roots = await readFile(options.rootsPath);
  const fresh = openNotificationQueue(join(options.stateDirectory, "notifications.sqlite"));
  const waiting = openKeptQueue(join(options.dataDirectory, "notifications.sqlite"), log);
  const queues = [fresh, waiting];
  const closeQueues = () => {
    for (const queue of queues) queue.close();
  };
  if (!config.push.enabled) {
    for (const queue of queues) queue.clear();
    store.forgetAllTokens();
    return { queues, told: () => {}, close: closeQueues };
  }
  const proxy = createProxyPost({ url: config.push.proxyUrl, roots });
  const notifier = createNotifier({
    fresh,
    waiting,
    post: proxy.post,
    hasToken: store.hasToken,
    forgetToken: (token) => store.apply([{ kind: "forget-token", token }], now()),
    wasTaken: store.wasTaken,
    noteTaken: store.noteTaken,
    accountOf: store.accountOf,
    retrySeconds: config.push.retryHours * 3600,
    now,
    counters,
    log,
  });
  notifier.start();
  return {
    queues,
    // The newest first: of those that the proxy never took it is likeliest a phone's.
    told: (address: string) => notifier.notify(store.tokensOf(address).reverse()),
    close: async () => {
      await notifier.stop();
      proxy.close();
      closeQueues();
    },
  };
}
