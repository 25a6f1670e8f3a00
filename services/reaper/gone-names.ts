/**
 * Names of accounts that were deleted, in memory for some hours: a message whose delivery began before an account left may
 * end after its name was free, and lies then in a folder that the next of that name would have. The first run that finds
 * an hour gone and nobody of that name takes it away (accounts.ts). Only these folders go so: where the list of accounts
 * is an old one, restored, no mail of people goes for want of a row. Called by accounts.ts and main.ts.
 */
import { appendFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";

export type GoneNames = Readonly<{
  /** When each was deleted, Unix seconds. */
  read(): Map<string, number>;
  note(addresses: readonly string[], now: number): void;
  /** Keeps these alone. */
  keep(names: ReadonlyMap<string, number>): void;
}>;

/** The file is read by nobody else: addresses stand in it. */
const MODE = 0o600;

export function openGoneNames(path: string): GoneNames {
  const textOf = (names: Iterable<readonly [string, number]>) =>
    [...names].map(([address, since]) => `${Math.floor(since)} ${address}\n`).join("");
  return {
    read() {
      const names = new Map<string, number>();
      for (const line of readIfThere(path).split("\n")) {
        // A line that a crash cut is none.
        const [, since, address] = /^(\d+) (\S+@\S+)$/.exec(line) ?? [];
        if (address !== undefined) names.set(address, Number(since));
      }
      return names;
    },
    note(addresses, now) {
      if (addresses.length > 0)
        appendFileSync(path, textOf(addresses.map((address) => [address, now])), { mode: MODE });
    },
    keep(names) {
      writeFileSync(`${path}.new`, textOf(names), { mode: MODE });
      renameSync(`${path}.new`, path);
    },
  };
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw cause;
  }
}
