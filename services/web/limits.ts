/**
 * What strangers may take of the web service: places, time and memory. Every limit is named here with its reason, and
 * tested against the running server. Times in milliseconds, sizes in bytes.
 */
export const webLimits = {
  /**
   * Connections of all clients together, 30 kB each with TLS, and of one IPv4 address or IPv6 /48. A school that scans
   * one QR code is some hundred behind one address.
   */
  connections: 1000,
  connectionsOfSite: 500,
  /** From services/mux, which writes it before anything else. */
  proxyHeaderMs: 5_000,
  /** A phone in a bad network needs some seconds for a handshake, no honest one needs more. */
  handshakeMs: 15_000,
  /** From the first byte of a request to the end of its header. */
  headerMs: 15_000,
  /** Without a request: browsers fetch a page with all that belongs to it within seconds, and come back cheaply. */
  idleMs: 30_000,
  /** For reading our last words on an idle connection of HTTP/2. */
  goodbyeMs: 5_000,
  /** For reading an answer, of which the largest is a picture of the operator's. */
  answerMs: 60_000,
  /**
   * All fields of a request. Delivery between relays names each recipient in a field of its own, a thousand at most
   * (maxsmtprecipients), of 50 bytes usually.
   */
  headerBytes: 65_536,
  headerFields: 1_100,
  /** A body may pause this long at its beginning, and must then come at this many bytes a second: as for mail by SMTP. */
  bodyGraceMs: 20_000,
  bodyBytesPerSecond: 500,
  /** And be whole then: the largest message comes in that time over a line of 300 kbit/s. */
  bodyMs: 900_000,
  /** Requests of one HTTP/1.1 connection. */
  requestsOfConnection: 1_000,
  /**
   * Requests at the same time on a connection of HTTP/2. Each takes some kB until its answer is read, which may be never.
   * RFC 9113 §6.5.2 advises 100 so that nobody waits without need; a page of ours has five parts. Browsers obey the number.
   */
  streams: 8,
  /** Streams that a client may reset at once, and then per second: above it, it floods (CVE-2023-44487). */
  resetBurst: 200,
  resetsPerSecond: 20,
  /** Memory of one HTTP/2 session in megabytes, the least that Node takes. */
  sessionMegabytes: 1,
  /** Entries of one SETTINGS frame (six are defined), and frames that break the rules, or streams beyond the number above, before a session ends. */
  settingsEntries: 16,
  invalidFrames: 20,
  rejectedStreams: 16,
  /** How often bodies and idle connections are looked at. */
  checkMs: 2_000,
} as const;

export type WebLimits = Readonly<Record<keyof typeof webLimits, number>>;
