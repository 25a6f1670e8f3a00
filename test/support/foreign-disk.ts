/**
 * A folder that behaves like a FAT disk under Windows, whatever it really lies on: names differ by more than case, some
 * characters are forbidden, nobody owns anything and there are no modes, no links, times of two seconds, and what is
 * open can be neither renamed nor removed. For tests of what the builder assumes of a disk; foreign-disk-preload.ts
 * puts it under a program of its own.
 * Sources: Microsoft's "Naming Files, Paths, and Namespaces" and fatgen103; what Node makes of Windows' errors.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { basename, dirname, join, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

export type ForeignDisk = Disposable &
  Readonly<{
    /** How often the disk was used. */
    calls: () => number;
    /** What was refused so far: the error's code, the function and the name. */
    refused: readonly string[];
  }>;

const FORBIDDEN = /[<>:"\\|?*\p{Cc}]|[. ]$/u;
const DEVICES = /^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)/i;
const MAX_NAME = 255;
/** FAT counts the seconds of a file's last change by twos. */
const TIME_STEP_MILLISECONDS = 2000;

/** Which arguments are paths. Streams and readFile reach open by themselves. */
const PATHS: Readonly<Record<string, readonly number[]>> = {
  ...Object.fromEntries(
    ["access", "appendFile", "chmod", "chown", "lstat", "mkdir", "mkdtemp", "open", "opendir", "readdir"].map(
      (name) => [name, [0]],
    ),
  ),
  ...Object.fromEntries(
    ["readFile", "readlink", "realpath", "rm", "rmdir", "stat", "statfs", "truncate", "unlink", "utimes"].map(
      (name) => [name, [0]],
    ),
  ),
  ...{ writeFile: [0], exists: [0], copyFile: [0, 1], rename: [0, 1], link: [0, 1], symlink: [1] },
};

/** What Node says of files that somebody holds. */
const SCANNER_CODES = ["EPERM", "EACCES", "EBUSY"] as const;

type Call = (...args: unknown[]) => unknown;

/**
 * Turns what is below `root` into such a disk, for this process, until it is disposed. With `scanner` a virus scanner holds
 * what is new: the first rename of every name fails, and of the second name with another code than of the first.
 */
export function installForeignDisk(
  root: string,
  { scanner = false }: Readonly<{ scanner?: boolean }> = {},
): ForeignDisk {
  const top = resolve(root);
  const real = { ...fs };
  const open = new Map<string, number>();
  const refused: string[] = [];
  const scanned = new Set<string>();
  let calls = 0;

  const refuse = (code: string, name: string, path: string): never => {
    refused.push(`${code} ${name} ${basename(path)}`);
    throw Object.assign(new Error(`${code}: refused by the foreign disk, ${name} '${path}'`), {
      code,
      path,
      errno: -1,
    });
  };
  const isInside = (path: string) => path === top || path.startsWith(top + sep);

  /** The path as it is really called. */
  function find(path: string, name: string): string {
    let there = top;
    for (const part of path
      .slice(top.length + 1)
      .split(sep)
      .filter(Boolean)) {
      if (FORBIDDEN.test(part) || DEVICES.test(part) || part.length > MAX_NAME) refuse("EINVAL", name, path);
      const exact = join(there, part);
      const folded = () =>
        namesIn(there).find((one) => one.toLowerCase() === part.toLowerCase() && one !== part);
      there = real.existsSync(exact) ? exact : join(there, folded() ?? part);
    }
    return there;
  }
  function namesIn(folder: string): string[] {
    try {
      return real.readdirSync(folder);
    } catch {
      return []; // not there yet
    }
  }
  const isOpen = (path: string) => [...open.keys()].some((one) => one === path || one.startsWith(path + sep));
  const opened = (path: string) => open.set(path, (open.get(path) ?? 0) + 1);
  const closed = (path: string) => {
    const left = (open.get(path) ?? 1) - 1;
    if (left > 0) open.set(path, left);
    else open.delete(path);
  };

  /** The arguments as the real function gets them; throws what the disk refuses. */
  function prepare(name: string, given: readonly unknown[]): { args: unknown[]; path: string } | undefined {
    const plain = name.replace(/Sync$/, "");
    const indexes = PATHS[plain]!;
    const paths = indexes.map((index) => pathOf(given[index]));
    if (!paths.some((path) => path !== undefined && isInside(path))) return undefined;
    calls++;
    if (plain === "symlink" || plain === "link") refuse("EPERM", name, paths.at(-1)!);
    // mkdtemp adds six characters to the name: any will do to judge it.
    const random = plain === "mkdtemp" ? "random" : "";
    const [from, to] = paths as [string, string | undefined];
    // As between two drives.
    if (plain === "rename" && (!isInside(from) || !isInside(to!))) refuse("EXDEV", name, to!);
    const args = [...given];
    for (const [at, path] of paths.entries()) {
      if (path !== undefined && isInside(path)) {
        args[indexes[at]!] = find(path + random, name).slice(0, -random.length || undefined);
      }
    }
    const [path, target] = indexes.map((index) => String(args[index])) as [string, string | undefined];
    if (plain === "rename") {
      if (target === path) args[1] = join(dirname(path), basename(to!)); // to other case
      if (isOpen(path) || isOpen(target!)) refuse("EPERM", name, target!);
      if (scanner && !scanned.has(path)) {
        scanned.add(path);
        refuse(SCANNER_CODES[scanned.size % SCANNER_CODES.length]!, name, target!);
      }
      if (target !== path && real.statSync(target!, { throwIfNoEntry: false })?.isDirectory()) {
        refuse("EPERM", name, target!);
      }
    }
    if (["unlink", "rm", "rmdir"].includes(plain) && isOpen(path)) refuse("EBUSY", name, path);
    return { args: withoutModes(plain, args), path };
  }

  function after(name: string, path: string, result: unknown): unknown {
    if (result instanceof fs.Stats) {
      result.mode = (result.mode & ~0o777) | (result.isDirectory() ? 0o777 : 0o666);
      result.mtimeMs = roundDown(result.mtimeMs);
    } else if (name.startsWith("mkdtemp")) real.chmodSync(String(result), 0o777);
    else if (name === "open" && typeof result === "object" && result !== null)
      watchHandle(result as Handle, path);
    return result;
  }
  function watchHandle(handle: Handle, path: string): void {
    opened(path);
    handle.once("close", () => closed(path));
    handle.chmod = async () => {};
    handle.chown = async () => {};
  }

  const umask = process.umask(0);
  const restore: (() => void)[] = [() => process.umask(umask)];
  const replace = (owner: Record<string, unknown>, name: string, make: (original: Call) => Call) => {
    const original = owner[name] as Call | undefined;
    if (original === undefined) return;
    owner[name] = Object.assign(make(original), original); // realpath.native, and what promisify looks for
    restore.push(() => {
      owner[name] = original;
    });
  };
  const module = fs as unknown as Record<string, unknown>;
  for (const name of Object.keys(PATHS)) {
    replace(fs.promises as unknown as Record<string, unknown>, name, (original) => async (...given) => {
      const prepared = prepare(name, given);
      if (!prepared) return original(...given);
      if (name === "chmod" || name === "chown") return undefined;
      return after(name, prepared.path, await original(...prepared.args));
    });
    replace(module, `${name}Sync`, (original) => (...given) => {
      const prepared = prepare(`${name}Sync`, given);
      if (!prepared) return original(...given);
      if (name === "chmod" || name === "chown") return undefined;
      const result = original(...prepared.args);
      if (name === "open") descriptors.set(result as number, prepared.path);
      if (name === "open") opened(prepared.path);
      return after(`${name}Sync`, prepared.path, result);
    });
  }
  // Of the functions with callbacks only those behind streams.
  const descriptors = new Map<number, string>();
  replace(module, "open", (original) => (...given) => {
    const done = given.at(-1) as Call;
    let prepared: ReturnType<typeof prepare>;
    try {
      prepared = prepare("open", given);
    } catch (error) {
      process.nextTick(done, error);
      return undefined;
    }
    if (!prepared) return original(...given);
    const { args, path } = prepared;
    return original(...args.slice(0, -1), (error: unknown, descriptor: number) => {
      if (!error) descriptors.set(descriptor, path);
      if (!error) opened(path);
      done(error, descriptor);
    });
  });
  for (const name of ["close", "closeSync"]) {
    replace(module, name, (original) => (...given) => {
      const path = descriptors.get(given[0] as number);
      if (path !== undefined) closed(path);
      descriptors.delete(given[0] as number);
      return original(...given);
    });
  }
  syncBuiltinESMExports();

  return {
    calls: () => calls,
    refused,
    [Symbol.dispose]() {
      for (const undo of restore) undo();
      syncBuiltinESMExports();
    },
  };
}

type Handle = {
  once: (event: "close", listener: () => void) => void;
  chmod: unknown;
  chown: unknown;
};

function pathOf(value: unknown): string | undefined {
  if (value instanceof URL) return resolve(fileURLToPath(value));
  return typeof value === "string" ? resolve(value) : undefined;
}

function withoutModes(name: string, args: unknown[]): unknown[] {
  if (name === "open")
    return [...args.slice(0, 2), ...args.slice(2).map((one) => (typeof one === "number" ? 0o666 : one))];
  if (name === "utimes") return [args[0], ...args.slice(1).map((time) => evenSeconds(time))];
  return args.map((one) => {
    if (typeof one !== "object" || one === null || !("mode" in one)) return one;
    const { mode, ...others } = one;
    return others;
  });
}

function evenSeconds(time: unknown): unknown {
  if (time instanceof Date) return new Date(roundDown(time.getTime()));
  return typeof time === "number" ? roundDown(time * 1000) / 1000 : time;
}

function roundDown(milliseconds: number): number {
  return Math.floor(milliseconds / TIME_STEP_MILLISECONDS) * TIME_STEP_MILLISECONDS;
}
