/**
 * The lock file: exactly which files of the Debian archive an image is made of. Nothing in it names a mirror.
 * Written by `./homing lock` (installer/commands/lock.ts), read by the image builder and the downloader.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import type { Architecture } from "../spec.ts";

/** Debian keeps security updates in an archive of their own, which mirrors offer under another path. */
export type ArchiveKind = "debian" | "security";

/**
 * What becomes of a package: unpacked into the root file system, or only read from, for the boot partition or
 * for the initramfs.
 */
export type PackageUse = "rootfs" | "boot" | "initramfs";

const packageSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/),
  version: z.string().min(1),
  archive: z.enum(["debian", "security"]),
  /** Below the archive's root, never absolute and never with ".."; its name is one that Windows' disks take too. */
  path: z.string().regex(/^pool\/(?!.*\.\.\/)[\w.+~/-]+\.deb$/),
  /** In bytes. */
  size: z.int().positive(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  use: z.enum(["rootfs", "boot", "initramfs"]),
});

const lockSchema = z.strictObject({
  /** Date of the newest Release file, in seconds since 1970; the time of everything in the image. */
  generated: z.int().positive(),
  /** The indexes the packages were chosen from, with the dates of their Release files, in seconds. */
  releases: z.array(
    z.strictObject({
      archive: z.enum(["debian", "security"]),
      suite: z.string(),
      date: z.int().positive(),
    }),
  ),
  /** Sorted by name. */
  architectures: z.strictObject({ amd64: z.array(packageSchema), arm64: z.array(packageSchema) }),
});

export type LockedPackage = Readonly<z.infer<typeof packageSchema>>;
export type PackageLock = Readonly<{
  generated: number;
  releases: readonly Readonly<{ archive: ArchiveKind; suite: string; date: number }>[];
  architectures: Readonly<Record<Architecture, readonly LockedPackage[]>>;
}>;

/** The lock file is missing or malformed. */
export class LockError extends Error {
  override name = "LockError";
}

export const lockFile = new URL("lock.json", import.meta.url);

/** The project's lock file, or another one. Throws LockError with the mend. */
export function readLock(file: URL | string = lockFile): PackageLock {
  const mend = "restore the file from version control, or make it anew with: ./homing lock";
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new LockError(
      `${file} cannot be read (${error instanceof Error ? error.message : error}); ${mend}`,
    );
  }
  const parsed = lockSchema.safeParse(content);
  if (!parsed.success) throw new LockError(`${file} is malformed: ${z.prettifyError(parsed.error)}\n${mend}`);
  return parsed.data;
}

/** The text of a lock file: one package a line, so that a renewal reads well as a difference. */
export function lockText({ generated, releases, architectures }: PackageLock): string {
  const lines = (items: readonly unknown[], indent: string) =>
    items.map((item) => `${indent}${JSON.stringify(item)}`).join(",\n");
  return [
    "{",
    `  "generated": ${generated},`,
    `  "releases": [\n${lines(releases, "    ")}\n  ],`,
    '  "architectures": {',
    `    "amd64": [\n${lines(architectures.amd64, "      ")}\n    ],`,
    `    "arm64": [\n${lines(architectures.arm64, "      ")}\n    ]`,
    "  }",
    "}",
    "",
  ].join("\n");
}
