/**
 * How many clients a machine has room for, by its memory: a Raspberry Pi with 512 MiB and a server with 64 GiB boot
 * the same image. Asked by dovecot.ts and nftables.ts when the configuration is written, at every boot, and by
 * services/reaper. Pure.
 */

/** What the configuration depends on beside relay.toml. */
export type Machine = Readonly<{
  /** As the kernel counts it (MemTotal). */
  memoryBytes: number;
}>;

/**
 * A logged-in, idle IMAP connection is a process. Measured: 1.75 MB for it, 0.13 MB in the login process and others,
 * 0.09 MB of page tables (test/bench/idle-imap.ts).
 */
const imapConnectionBytes = 2_000_000;
/** A relay without clients, its kernel included (test/bench/memory.ts). */
const idleRelayBytes = 250_000_000;
/** Of what is left: the rest is for mail on its way and for files. Together they stay below Dovecot's limit (debian-units.ts). */
const imapShareOfRest = 0.35;
/** A relay for a household works on any machine that boots. */
const leastImapConnections = 60;
/** Beyond it the login processes have no more places (dovecot.ts). */
export const mostImapConnections = 5000;

/** Logged-in IMAP connections at the same time. A Delta Chat client keeps one or two, and opens two more at times. */
export function imapConnections({ memoryBytes }: Machine): number {
  const room = Math.floor(((memoryBytes - idleRelayBytes) * imapShareOfRest) / imapConnectionBytes);
  return Math.min(mostImapConnections, Math.max(leastImapConnections, room));
}

/**
 * Connections to the mail ports that one source may hold open at the same time, whatever its accounts. A hall full of
 * phones has one or two for each.
 */
export const mostConnectionsOfSource = 500;

/**
 * A card of 2 GB has 0.8 GB for mail: where more is demanded than this share of the disk, in per cent, the share counts.
 * It is still more than what Postfix demands (queue_minfree, 250 MB), so that sign-up stops before mail does.
 */
export const demandedPercentOfDisk = 40;

/**
 * Bytes of a file on average, mail and indexes together: a file system has room for so many files, however small,
 * and must keep as many free as free bytes for those who have accounts.
 */
export const bytesPerFile = 50_000;

/** Free bytes without which no account is made, on a disk of so many. */
export function minFreeDiskBytes(setting: number, diskBytes: number): number {
  return Math.min(setting, Math.floor((diskBytes / 100) * demandedPercentOfDisk));
}

/**
 * A message counts as at least so many bytes of the mailbox's size: the block that it takes on the disk. Without it
 * a full mailbox of the smallest messages would be hundreds of thousands of files.
 */
const leastMessageBytes = 4096;

/** Messages in a mailbox of so many bytes. */
export function mostMessages(mailboxBytes: number): number {
  return Math.ceil(mailboxBytes / leastMessageBytes);
}

/** At most half of the IMAP places, so that no single network takes them all: anybody can make accounts. */
export function connectionsOfSource(machine: Machine): number {
  return Math.min(mostConnectionsOfSource, Math.floor(imapConnections(machine) / 2));
}
