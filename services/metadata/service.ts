/**
 * Puts the metadata service together: a Dovecot dict server on a unix socket, and notifications for phones. Called by main.ts on the device and, with other paths, by tests.
 */
import { Resolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import type { Counters } from "../lib/counters.ts";
import { type ListenTarget, listenSocket } from "../lib/listen.ts";
import type { Log } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import { type ShutdownStep, trackConnections } from "../lib/shutdown.ts";
import { countMetadata } from "./count.ts";
import { createDictionary } from "./dictionary.ts";
import { serveLines } from "./line-session.ts";
import { createNewsAnswers } from "./news-session.ts";
import { openNotificationQueue } from "./notification-queue.ts";
import { createNotifier } from "./notifier.ts";
import { createProxyPost } from "./proxy-post.ts";
import { serveSession } from "./session.ts";
import { type MetadataStore, openMetadataStore } from "./store.ts";
import { answersStun } from "./stun.ts";
import { announceTurn, type Turn } from "./turn.ts";

export type MetadataOptions = Readonly<{
  settingsPath: string;
  /** Outlives a reboot: tokens, last logins, notifications that failed. */
  dataDirectory: string;
  /** Outlives a restart of the service: notifications that were not tried yet. */
  stateDirectory: string;
  /** Certificates of authorities, PEM. */
  rootsPath: string;
  /** The TURN server; read only where the settings want one. */
  turn: Readonly<{ secretPath: string; port: number }>;
  listen: Readonly<{ dict: ListenTarget; news: ListenTarget }>;
  counters: Counters;
  log: Log;
}>;

/** Starts the service; resolves when it listens. @throws SettingsError, DatabaseError, SocketInUseError */
export async function startMetadataService(options: MetadataOptions): Promise<readonly ShutdownStep[]> {
  const { log, counters, listen } = options;
  const config = await loadRelayConfig(options.settingsPath);
  const store = openMetadataStore(join(options.dataDirectory, "metadata.sqlite"), config.push);
  const turn = await openTurn(options, config);
  const dictionary = createDictionary({ config, store, turn: turn.value, now });
  const push = await openPush(options, config, store);
  const counting = countMetadata({ counters, store, queues: push.queues, now, log });
  const listening = async (target: ListenTarget, serve: (socket: Socket) => void): Promise<ShutdownStep> => {
    const server = createServer(serve);
    const connections = trackConnections(server);
    await listenSocket(server, target);
    return { name: `close connections (${target.name})`, run: () => connections.close() };
  };
  const news = createNewsAnswers(push.told);
  const closing = [
    await listening(listen.dict, (socket) => serveSession(socket, { dictionary, log })),
    await listening(listen.news, (socket) => serveLines(socket, { answer: news, log })),
  ];
  log.info("answering for metadata", { domain: config.domain, push: config.push.enabled });
  return [
    ...closing,
    { name: "end notifications", run: push.close },
    { name: "end counting", run: counting.stop },
    { name: "end looking for the TURN server", run: turn.stop },
    { name: "close the metadata store", run: () => store.close() },
    { name: "write the counters", run: () => counters.close() },
  ];
}

function now(): number {
  return Date.now() / 1000;
}

/** The announcing of the TURN server, if the settings want one. */
async function openTurn({ turn, log }: MetadataOptions, config: RelayConfig): Promise<Turn> {
  if (!config.turn.enabled) return { value: () => undefined, stop: () => {} };
  const resolver = new Resolver();
  return announceTurn({
    domain: config.domain,
    port: turn.port,
    secret: await readFile(turn.secretPath, "utf8"),
    resolve: async (domain) => {
      const found = await Promise.allSettled([resolver.resolve4(domain), resolver.resolve6(domain)]);
      return found.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    },
    answersStun,
    now,
    log,
  });
}

/** The notifications, if the settings want them. Otherwise what was there of them is forgotten. */
async function openPush(options: MetadataOptions, config: RelayConfig, store: MetadataStore) {
  const { counters, log } = options;
  const fresh = openNotificationQueue(join(options.stateDirectory, "notifications.sqlite"));
  const waiting = openNotificationQueue(join(options.dataDirectory, "notifications.sqlite"));
  const queues = [fresh, waiting];
  const closeQueues = () => {
    for (const queue of queues) queue.close();
  };
  if (!config.push.enabled) {
    for (const queue of queues) queue.clear();
    store.forgetAllTokens();
    return { queues, told: () => {}, close: closeQueues };
  }
  const proxy = createProxyPost({ url: config.push.proxyUrl, roots: await readFile(options.rootsPath) });
  const notifier = createNotifier({
    fresh,
    waiting,
    post: proxy.post,
    hasToken: (token) => store.hasToken(token, now()),
    forgetToken: store.forgetToken,
    retrySeconds: config.push.retryHours * 3600,
    now,
    counters,
    log,
  });
  notifier.start();
  return {
    queues,
    told: (address: string) => notifier.notify(store.tokensOf(address, now())),
    close: async () => {
      await notifier.stop();
      proxy.close();
      closeQueues();
    },
  };
}
