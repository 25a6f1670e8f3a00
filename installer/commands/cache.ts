/**
 * `./homing cache`: shows what is kept of downloads and builds on this computer, and removes on request what neither
 * the lock file nor a build of the last hours needs.
 */
import { resolve } from "node:path";
import { type CacheItem, cacheKinds, listCache, pruneCache } from "../../image/cache-contents.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { readLock } from "../../image/packages/lock.ts";
import { type Command, type CommandIo, parseCommandArgs, print, UsageError } from "../command.ts";
import { nonceSecretPath, SECRET_BYTES } from "../reachability/nonce-secret.ts";

export const command: Command = {
  name: "cache",
  summary: "show what is kept of downloads and builds, and remove what nothing needs",
  usage: "cache [--prune] [--cache DIR] [--json]",
  help: `
Shows what is in the cache, by kind: how much there is, and how much of it is needed. Needed are the Debian packages of
the lock file, the Node runtime, the newest root file system of each architecture, downloads that a build will continue,
whatever a build used in the last six hours, and the secret by which ./homing doctor takes forwarded ports back.

  --prune        remove what is not needed; safe while a build is running
  --cache DIR    the cache (default: ~/.cache/homing)
  --json         for scripts: one JSON object a line, its "event" is "kind" or "done", or "error" (name, message);
                 sizes are in bytes
`,
  run,
};

/** The builder's, and what ./homing doctor keeps beside them: to the builder that is somebody else's. */
const kinds = [...cacheKinds.filter((kind) => kind !== "other"), "forwarding", "other"] as const;
type Kind = (typeof kinds)[number];

const titles: Readonly<Record<Kind, string>> = {
  packages: "Debian packages",
  node: "Node runtimes",
  rootfs: "root file systems",
  unfinished: "unfinished",
  forwarding: "forwarded ports",
  other: "not Homing's own",
};

type Sum = Readonly<{ items: number; bytes: number }>;

async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommandArgs(args, {
    prune: { type: "boolean" },
    cache: { type: "string" },
    json: { type: "boolean" },
  });
  if (positionals.length > 0) throw new UsageError(`unexpected argument “${positionals[0]}”`);
  const directory = resolve(values.cache ?? defaultCacheDirectory(io.env));
  const lock = readLock();
  const removed = values.prune ? await pruneCache(directory, lock, Date.now()) : undefined;
  const items = await listCache(directory, lock, Date.now());
  const sums = kinds.map((kind) => {
    const ofKind = (list: readonly CacheItem[]) => list.filter((item) => kindOf(item, directory) === kind);
    return {
      kind,
      all: sumOf(ofKind(items)),
      needed: sumOf(ofKind(items).filter(({ needed }) => needed)),
      removed: sumOf(ofKind(removed ?? [])),
    };
  });
  const total = {
    all: sumOf(items),
    needed: sumOf(items.filter(({ needed }) => needed)),
    removed: sumOf(removed ?? []),
  };
  if (values.json) {
    const events = [
      ...sums.map((sum) => ({ event: "kind", ...sum })),
      { event: "done", directory, ...total },
    ];
    await print(io.stdout, events.map((event) => `${JSON.stringify(event)}\n`).join(""));
    return 0;
  }
  const rows = [
    ["", "there", "needed"],
    ...sums
      .filter(({ all }) => all.items > 0)
      .map(({ kind, all, needed }) => [titles[kind], sumText(all), sumText(needed)]),
    ["together", sumText(total.all), sumText(total.needed)],
  ];
  await print(io.stdout, `Cache: ${directory}\n${table(rows)}\n${verdict(total, removed !== undefined)}\n`);
  return 0;
}

function kindOf({ path, kind, bytes }: CacheItem, directory: string): Kind {
  const isSecret = path === nonceSecretPath(directory) && bytes === SECRET_BYTES;
  return isSecret ? "forwarding" : kind;
}

function sumOf(items: readonly CacheItem[]): Sum {
  return { items: items.length, bytes: items.reduce((sum, { bytes }) => sum + bytes, 0) };
}

function verdict(
  { all, needed, removed }: Readonly<Record<"all" | "needed" | "removed", Sum>>,
  pruned: boolean,
): string {
  if (pruned) return removed.items === 0 ? "There was nothing to remove." : `Removed: ${sumText(removed)}.`;
  const bytes = all.bytes - needed.bytes;
  const items = all.items - needed.items;
  return items === 0
    ? "Nothing can be removed."
    : `./homing cache --prune removes what is not needed: ${sumText({ items, bytes })}.`;
}

/** "288, 244.0 MB" */
function sumText({ items, bytes }: Sum): string {
  return `${items}, ${(bytes / 1e6).toFixed(1)} MB`;
}

/** The first column to the left, the others to the right. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
        .join("   ")
        .trimEnd(),
    )
    .join("\n");
}
