/**
 * Where things lie on the device, who owns them and on which ports they listen. The one place for these
 * names: units, configuration files, services and tests all read them here.
 */

export const HOMING_VERSION = "0.1.0";

/**
 * How the data partition is laid out. Counted up by a change that an older system would spoil or not understand; such
 * a system refuses the partition (image/initramfs/init.sh, appliance/life/configure.ts).
 */
export const DATA_VERSION = 1;

/** Read-only program files in the root file system. */
export const programDirectory = "/usr/lib/homing";
export const nodeBinary = `${programDirectory}/node`;

/** The pages that friends see, as they are without the operator's own (runPaths.web). */
export const webDirectory = `${programDirectory}/web`;

/** DATA_VERSION, for the initramfs. */
export const knownDataVersionPath = `${programDirectory}/data-version`;

/** Written by the initramfs: why there is no data partition; that it was damaged and is repaired (empty). */
export const dataProblemPath = "/etc/homing/data-problem";
export const dataRepairedPath = "/etc/homing/data-repaired";

/** FAT boot partition; its folder `relay` carries the relay folder to the first boot. */
export const bootDirectory = "/boot";
export const bootRelayDirectory = `${bootDirectory}/relay`;

/** The data partition: all that must outlive a reboot. */
export const dataDirectory = "/data";
export const dataPaths = {
  relay: `${dataDirectory}/relay`,
  tls: `${dataDirectory}/tls`,
  ssh: `${dataDirectory}/ssh`,
  /** The settings as they were read last (life/kept-settings.ts). */
  keptSettings: `${dataDirectory}/settings`,
  machineId: `${dataDirectory}/machine-id`,
  clock: `${dataDirectory}/clock`,
  accounts: `${dataDirectory}/accounts`,
  metadata: `${dataDirectory}/metadata`,
  /** A folder for each account, named by its address. */
  mail: `${dataDirectory}/mail`,
  /** Dovecot's indexes and UID lists, a folder for each account; no address is named so. */
  mailIndex: `${dataDirectory}/mail/index`,
  postfix: `${dataDirectory}/postfix`,
  /** Two lines: DATA_VERSION and the version of Homing of the last system that made a relay of the partition. */
  version: `${dataDirectory}/version`,
  /** Which DKIM key signs while there are two (dkimStatePath). */
  dkim: `${dataDirectory}/dkim`,
  /** Which messages were delivered (services/door). */
  door: `${dataDirectory}/door`,
  /** Account and OpenPGP key of the canary (services/probe). */
  canary: `${dataDirectory}/canary`,
  /** What services/certificates remembers of the certificate authority. */
  certificates: `${dataDirectory}/certificates`,
  /** What services/reaper remembers of its last run. */
  reaper: `${dataDirectory}/reaper`,
} as const;

/** The selector of the DKIM key that took over; missing before the first change of keys. Written by services/dkim. */
export const dkimStatePath = `${dataPaths.dkim}/signing`;

/** The certificate chain that Postfix and Dovecot show; its key is runPaths.tlsKey. */
export const tlsCertificatePath = `${dataPaths.tls}/certificate.pem`;

/** Records that services/certificates put into the zone and has to take away again. */
export const certificateProofsPath = `${dataPaths.certificates}/proofs.json`;
/** The account at the authority, an order under way, failures and when to try again (services/certificates). */
export const certificateStatePath = `${dataPaths.certificates}/state.json`;
/** When to look again, in seconds since 1970: a small script reads it, so that Node starts only when it is time. */
export const certificateNextPath = `${dataPaths.certificates}/next`;

/**
 * What services/reaper keeps of its last daily run, which counts as that long ago as this is old: for the reaper itself,
 * for homing-ctl status and for services/metrics, which see when it was written, and no more.
 */
export const reaperStatePath = `${dataPaths.reaper}/state.json`;

/** Made by systemd-timesyncd once the clock was set by a time server (systemd-timesyncd.service(8)). */
export const clockSyncedPath = "/run/systemd/timesync/synchronized";

/** Written at every boot by `homing-configure`, read by the services. */
export const runDirectory = "/run/homing";
export const runPaths = {
  /** The validated settings without secrets (RelayConfig as JSON), 0644. */
  relayConfig: `${runDirectory}/relay.json`,
  /** Why the folder on the boot partition was not taken over; missing when nothing was wrong. */
  importProblem: `${runDirectory}/import-problem`,
  /** Why this is no relay; missing when it is. */
  configureProblem: `${runDirectory}/configure-problem`,
  /** How much free room sign-up and Postfix demand, in bytes, for the status scripts (files/status.ts). */
  room: `${runDirectory}/room`,
  /** What the status page is made of, the page, and what the light shows ("healthy" or "attention"). */
  state: `${runDirectory}/state`,
  statusPage: `${runDirectory}/status-page`,
  /** Eight digits on the screen, by which the page at home gives invitations; of this boot, 0440 root:homing-auth. */
  homePin: `${runDirectory}/home-pin`,
  /** Since when `look` has seen the canary's present verdict: seconds since the start, and which. */
  canarySeen: `${runDirectory}/canary-seen`,
  /** The same for what services/reaper keeps of its last daily run. */
  reaperSeen: `${runDirectory}/reaper-seen`,
  /** The same as JSON (StatusFacts in life/judgement.ts), 0644: no secret is in it. */
  statusFacts: `${runDirectory}/status.json`,
  light: `${runDirectory}/light`,
  /** DKIM private key for the milter, 0440 root:homing-milter. */
  dkimKey: `${runDirectory}/milter/dkim.pem`,
  /** The one that will take over (dkim.next_selector), when there is one: private as above, and public, 0644. */
  dkimNextKey: `${runDirectory}/milter/dkim-next.pem`,
  dkimNextPublicKey: `${runDirectory}/dkim-next-public.pem`,
  /** TLS private key for Postfix and Dovecot, 0600 root: they see nothing else of the relay folder. */
  tlsKey: `${runDirectory}/tls/key.pem`,
  /** Shared secret between Dovecot's auth worker and the auth service. */
  authSecret: `${runDirectory}/auth/secret`,
  /** What wpa_supplicant(8) is told, with the key of the Wi-Fi network, 0600 root; missing where there is none to join. */
  wifi: `${runDirectory}/wifi/wpa_supplicant.conf`,
  milterSocket: `${runDirectory}/milter.sock`,
  /** What the milter keeps over its own restarts, not over the system's: 0700 homing-milter. */
  milterState: `${runDirectory}/milter-state`,
  /** Where Postfix asks the account service for recipients. */
  recipientSocket: `${runDirectory}/recipients.sock`,
  metadataSocket: `${runDirectory}/metadata.sock`,
  /** Where services/door tells the metadata service who got mail. */
  newsSocket: `${runDirectory}/news.sock`,
  /** What the metadata service keeps over its own restarts, not over the system's: 0700 homing-courier. */
  metadataState: `${runDirectory}/metadata-state`,
  /** Why metadata cannot be kept; there only while it is so. In a folder of homing-courier that others can read. */
  metadataProblem: `${runDirectory}/transport/metadata-problem`,
  /** Why no client is told of the TURN server; there only while it is so. Beside it. */
  turnProblem: `${runDirectory}/transport/turn-problem`,
  /** A file NAME.prom of each service that counts (services/lib/counters.ts). */
  metrics: `${runDirectory}/metrics`,
  /** Empty; there where the private network may ask services/metrics. */
  metricsNetwork: `${runDirectory}/metrics-network`,
  /** Where Dovecot tells services/metrics what it counts, over HTTP. */
  dovecotStats: "/run/dovecot/stats-metrics",
  /** Where services/door delivers. */
  dovecotLmtp: "/run/dovecot/lmtp",
  /** Where services/door asks whether a message is in a mailbox. */
  dovecotLook: "/run/dovecot/doveadm-look",
  /** Where services/mux hands TLS connections to services/web, with a PROXY header in front. */
  webSocket: `${runDirectory}/web.sock`,
  /**
   * Of the TURN server, there only where the settings want it: its configuration, 0440 root:homing-turn, what its
   * credentials are made of, 0440 root:homing-courier, and the relay's domain; and what it writes itself.
   */
  turnConf: `${runDirectory}/turn/turnserver.conf`,
  turnSecret: `${runDirectory}/turn/secret`,
  turnDomain: `${runDirectory}/turn/domain`,
  turnState: `${runDirectory}/turn-state`,
  /** What services/web keeps over its own restarts, not over the system's: 0700 homing-web. */
  webState: `${runDirectory}/web-state`,
  /** The operator's own page files, from the relay folder. */
  web: `${runDirectory}/web`,
  /** Where Postfix hands over mail for mailboxes here (LMTP). */
  doorSocket: `${runDirectory}/door.sock`,
  /** What services/transport knows of other domains (mail-routes.ts), for services/auth: in a folder of homing-courier. */
  knownWays: `${runDirectory}/transport/known-ways`,
  /** Answers to a certificate authority, a file a token (RFC 8555 §8.3): 0755 homing-certs. */
  acmeChallenges: `${runDirectory}/acme-challenge`,
  /** Where services/web asks the account service for accounts. */
  signUpSocket: `${runDirectory}/sign-up.sock`,
  /** Where services/reaper asks Dovecot who is connected. */
  whoIsConnected: "/run/dovecot/doveadm-who",
  /**
   * What waits in Postfix' queue, as Prometheus reads it (files/metrics-figures.ts). By it services/reaper spares mail, so
   * that it lies in a folder of postfix, where no other service writes.
   */
  queueFigures: `${runDirectory}/queue-figures/queue.prom`,
  /** What services/reaper keeps from run to run, not over a reboot: 0755 vmail. */
  reaper: `${runDirectory}/reaper`,
  /** Mailboxes that are nearly full, an empty file by address: noted by Dovecot, and to be looked at again. */
  reaperFull: `${runDirectory}/reaper/full`,
  reaperAgain: `${runDirectory}/reaper/again`,
  /** There once services/reaper has kept for how long the clock was wrong in this boot. */
  reaperClockKept: `${runDirectory}/reaper/clock-kept`,
  /** What the last daily run deleted, and what one would delete (ReaperReport in appliance/reaper-report.ts). */
  reaperReport: `${runDirectory}/reaper/report.json`,
  /** There while a run could not work on all mailboxes and accounts, and no later one has come to them. */
  reaperFailed: `${runDirectory}/reaper/failed`,
  reaperWould: `${runDirectory}/reaper/would.json`,
  /** Where homing-ctl speaks to the account service: 0600 root. */
  controlSocket: `${runDirectory}/control.sock`,
  /** Where services/reaper speaks to the account service, and nobody else. */
  reaperSocket: `${runDirectory}/reaper.sock`,
  /** Where services/probe asks the account service for the account of the canary. */
  canarySocket: `${runDirectory}/canary.sock`,
  /** What services/probe saw last, as JSON (CanaryVerdict in canary.ts): the health gate. In a folder of homing-probe. */
  canaryVerdict: `${runDirectory}/canary/verdict.json`,
  /** What of that needs somebody, a line each; missing while nothing does. */
  canaryProblem: `${runDirectory}/canary/problem`,
  /** How its runs since the boot went, for the histogram. */
  canaryHistory: `${runDirectory}/canary/history.json`,
  /** The public half of dkimKey, 0644. */
  dkimPublicKey: `${runDirectory}/dkim-public.pem`,
  /**
   * What services/certificates gets by LoadCredential, 0600 root; there only where an authority is asked. The key for
   * changes of the DNS is empty unless the settings name one.
   */
  acmeAccountKey: `${runDirectory}/acme/account.pem`,
  dnsUpdateKey: `${runDirectory}/acme/dns-update.key`,
  /** Why there is no certificate, or no new one, in words for the owner; missing while all is well. */
  certificateProblem: `${runDirectory}/certificates/problem`,
  /** Names that the authority did not accept, a sentence each; missing while there is none. Mail works without them. */
  certificateRefused: `${runDirectory}/certificates/refused`,
  /** SHA-256 of the certificate that Postfix and Dovecot began with or took over, as sha256sum(1) writes it. */
  certificateLoaded: `${runDirectory}/certificate-loaded`,
  /** What services/certificates saw last, as JSON, for homing-ctl (CertificateReport in appliance/certificate-report.ts). */
  certificateReport: `${runDirectory}/certificates/report.json`,
} as const;

/** Made by services/certificates when it first ran since the boot. */
export const certificateLookedPath = `${runDirectory}/certificates/looked`;

/** Loopback address of the account service (services/auth). */
export const authListen = { host: "127.0.0.1", port: 8090 } as const;

/** Where Prometheus asks services/metrics; the port is the usual one for a program's own figures. */
export const metricsListen = { host: "127.0.0.1", port: 9464 } as const;

/** Postfix's port for mail that came by HTTPS (services/web), with a PROXY header in front: port 25 in all else. */
export const httpsMailListen = { host: "127.0.0.1", port: 10024 } as const;

/** Where Postfix takes mail for others to services/transport first: to domains known by HTTPS, and to all others. */
export const transportKnownListen = { host: "127.0.0.1", port: 10026 } as const;
export const transportFirstListen = { host: "127.0.0.1", port: 10028 } as const;
/** Where it comes a second time in the same attempt (mail-routes.ts). */
export const transportKnownAgainListen = { host: "127.0.0.1", port: 10029 } as const;
export const transportFirstAgainListen = { host: "127.0.0.1", port: 10030 } as const;

/** Where Postfix takes to services/transport what its own SMTP client could not deliver. */
export const transportFallbackListen = { host: "127.0.0.1", port: 10027 } as const;

/** Certificates of the authorities that Debian trusts. */
export const systemRootsPath = "/etc/ssl/certs/ca-certificates.crt";

/** Fixed user and group ids (image/spec.ts, SystemUser). Never renumber: data on devices is owned by them. */
export const users = {
  /** Owns all mail; Dovecot's imap and lmtp processes run as it. */
  vmail: { name: "vmail", id: 900 },
  auth: { name: "homing-auth", id: 901 },
  milter: { name: "homing-milter", id: 902 },
  /** Dovecot's auth worker: with homing-auth the only reader of the shared secret. */
  dovecotAuth: { name: "homing-dovauth", id: 904 },
  /** Asks the name servers of the domain for the next DKIM key. */
  dkim: { name: "homing-dkim", id: 905 },
  web: { name: "homing-web", id: 906 },
  /** Asks the certificate authority; owns the certificate, not its key. */
  certificates: { name: "homing-certs", id: 907 },
  /** Hands over what comes in on port 443. */
  mux: { name: "homing-mux", id: 908 },
  /** Takes mail to other relays and to Dovecot, each message once, and keeps metadata. */
  courier: { name: "homing-courier", id: 910 },
  /** Tells Prometheus how the relay does. */
  metrics: { name: "homing-metrics", id: 915 },
  /** Deletes what is old. It runs as vmail; this is the group by which the account service and Dovecot know it. */
  reaper: { name: "homing-reaper", id: 911 },
  /** The canary: sends itself a message, and looks at the relay as a client does. */
  probe: { name: "homing-probe", id: 914 },
  /** coturn. */
  turn: { name: "homing-turn", id: 916 },
} as const;

/** Ports open to the world. */
export const ports = {
  smtp: 25,
  http: 80,
  submissions: 465,
  submission: 587,
  imap: 143,
  imaps: 993,
  https: 443,
} as const;

/** Loopback ports of Dovecot and Postfix for what comes in on port 443; a PROXY header says who the client is. */
export const muxBackends = {
  imap: { host: "127.0.0.1", port: 10993 },
  smtp: { host: "127.0.0.1", port: 10465 },
} as const;

/** Open only on a relay that helps with calls (RFC 8656 §4), by UDP. */
export const turnPort = 3478;

/** Of multicast DNS (RFC 6762 §2): homing.local. UDP. */
export const mdnsPort = 5353;

/** Open only on a relay that has keys of administrators. */
export const sshPort = 22;
