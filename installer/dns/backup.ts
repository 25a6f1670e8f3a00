/**
 * The back-up of a zone: what was there before the first change, and which sets were changed to what. Written into the
 * relay folder by `dns apply`, read by `dns undo`; by the wizard too. Names that nobody would guess stand in it, which the
 * DNS shows only to those who ask for them: nothing to publish, and no secret either.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { RecordSet } from "../../appliance/dns/record-set.ts";
import { createSynced, replaceDurably, syncDirectory } from "../../appliance/durable.ts";
import type { PlannedChange } from "./plan.ts";

export type ZoneBackup = Readonly<{
  /** Milliseconds since 1970. */
  made: number;
  /** Id of the provider that keeps the zone. */
  provider: string;
  zone: string;
  /** Every set of the zone as far as the provider shows it. */
  sets: readonly RecordSet[];
  changes: readonly PlannedChange[];
  /** All changes were made: what is otherwise now was changed by somebody else. */
  finished: boolean;
}>;

/** The file is no back-up of a zone. */
export class BackupError extends Error {
  override name = "BackupError";
}

const FILE_MODE = 0o644;
/** A zone of thousands of records; a larger file is a wrong one. In bytes. */
const MAX_FILE_BYTES = 16_777_216;

const recordSet = z.strictObject({
  name: z.string(),
  type: z.string(),
  ttl: z.number().int().min(0).max(2_147_483_647), // RFC 2181 §8
  values: z.array(z.string()).readonly(),
});
const backupFile = z.strictObject({
  format: z.literal("homing-zone-backup-1"),
  made: z.iso.datetime(),
  provider: z.string(),
  zone: z.string(),
  changes: z.array(z.strictObject({ before: recordSet.nullable(), after: recordSet })).readonly(),
  sets: z.array(recordSet).readonly(),
  finished: z.boolean().default(false),
});

/** Writes it into the folder, synced, and gives its path. Each gets a name of its own by its time. */
export async function writeBackup(folder: string, { made, ...backup }: ZoneBackup): Promise<string> {
  const time = new Date(made).toISOString();
  const path = join(folder, `dns-backup-${time.replaceAll(":", "-")}.json`);
  const content: z.input<typeof backupFile> = { format: "homing-zone-backup-1", made: time, ...backup };
  await createSynced(path, fileBytes(content), FILE_MODE);
  await syncDirectory(folder);
  return path;
}

/** Notes in the file that all its changes were made. Throws what readBackup throws. */
export async function noteFinished(path: string): Promise<void> {
  const { made, ...backup } = await readBackup(path);
  const content = { format: "homing-zone-backup-1", made: new Date(made).toISOString(), ...backup } as const;
  await replaceDurably(path, fileBytes({ ...content, finished: true }), { mode: FILE_MODE });
}

function fileBytes(content: z.input<typeof backupFile>): Buffer {
  return Buffer.from(`${JSON.stringify(content, undefined, 2)}\n`);
}

/** Throws BackupError, and the system's errors. */
export async function readBackup(path: string): Promise<ZoneBackup> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
    throw new BackupError(
      `there is no back-up ${path}; ./homing dns apply keeps them in the relay's folder, as dns-backup-TIME.json`,
      { cause: error },
    );
  });
  const wrong = (why: string) =>
    new BackupError(`${path} is no back-up that ./homing dns apply wrote: ${why}`);
  if (bytes.length > MAX_FILE_BYTES) throw wrong(`it has ${bytes.length} bytes`);
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString());
  } catch (error) {
    throw wrong((error as Error).message);
  }
  const parsed = backupFile.safeParse(json);
  if (!parsed.success) throw wrong(z.prettifyError(parsed.error).split("\n")[0] ?? "");
  const { format: _, made, ...backup } = parsed.data;
  return { made: Date.parse(made), ...backup };
}
