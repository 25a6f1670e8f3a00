/**
 * wizard.json in the relay folder: where the wizard was left, and what was answered. No secret is in it; the settings
 * themselves are in relay.toml. Called by real-effects.ts; I/O on that file only.
 */
import { readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { createSynced } from "../../appliance/durable.ts";
import { renameWhenFree } from "../../image/rename.ts";
import { SECRET_MODE } from "../relay-folder.ts";
import { dnsStates, type Kept, noAnswers, type PlaceId, pages, places } from "./answers.ts";
import { hypervisorIds } from "./hypervisors.ts";

export const progressFile = "wizard.json";

/** Far above what the wizard writes; a larger file is a wrong one. In bytes. */
const MAX_FILE_BYTES = 16_384;
/** As long as an e-mail address may be typed (judge.ts). */
const MAX_ACCOUNT_LENGTH = 200;
const VERSION = 1;
const placeIds = Object.keys(places) as [PlaceId, ...PlaceId[]];

const schema = z.object({
  version: z.literal(VERSION),
  page: z.enum(pages),
  answers: z.object({
    account: z.string().max(MAX_ACCOUNT_LENGTH).default(""),
    place: z.enum(placeIds).optional(),
    addresses: z.array(z.union([z.ipv4(), z.ipv6()])).max(8),
    provider: z.string().max(64).optional(),
    dns: z.enum(dnsStates),
    // One that this version does not know is asked for again.
    hypervisor: z.enum(hypervisorIds).optional().catch(undefined),
    image: z.string().max(4096).optional(),
  }),
});

/**
 * What the folder keeps, for the relay of this domain. Undefined when there is no such file; "unreadable" when it is
 * not one of ours, or of another version: then the questions are asked again.
 */
export async function readProgress(folder: string, domain: string): Promise<Kept | "unreadable" | undefined> {
  const path = join(folder, progressFile);
  const text = await stat(path)
    .then(({ size }) => (size > MAX_FILE_BYTES ? "" : readFile(path, "utf8")))
    .catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
  if (text === undefined) return undefined;
  const parsed = schema.safeParse(jsonOf(text));
  if (!parsed.success) return "unreadable";
  const { page, answers } = parsed.data;
  return { page, answers: { ...noAnswers, ...answers, domain } };
}

/** Undefined for what is no JSON: a file that somebody edited. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Replaces the file as a whole; a start that is killed leaves the old one or the new one. */
export async function writeProgress(folder: string, { page, answers }: Kept): Promise<void> {
  const { account, place, addresses, provider, dns, hypervisor, image } = answers;
  const kept = {
    version: VERSION,
    page,
    answers: { account, place, addresses, provider, dns, hypervisor, image },
  };
  const aside = join(folder, `.${progressFile}.part`);
  await rm(aside, { force: true });
  await createSynced(aside, Buffer.from(`${JSON.stringify(kept, null, 2)}\n`), SECRET_MODE);
  await renameWhenFree(aside, join(folder, progressFile));
}
