/**
 * What is remembered between two looks, on the data partition: the account, an order under way, failures, what was
 * issued. Replaced as a whole with every change, so that neither a power cut nor a kill loses an order that is paid
 * for with the authority's limits. Read and written by look.ts.
 */
import { rename } from "node:fs/promises";
import * as z from "zod";
import { replaceDurably } from "../../appliance/durable.ts";
import { readIfPresent } from "../../appliance/life/disk.ts";
import type { Log } from "../lib/log.ts";

/** Milliseconds since 1970. */
const time = z.number().int().nonnegative();

const failure = z.object({
  count: z.number().int().positive(),
  at: time,
  /** For the owner, without control characters. */
  text: z.string(),
  /** How long the authority wants to be left alone. */
  retryAfterMs: z.number().nonnegative().optional(),
  retryAt: time,
});

const schema = z.object({
  version: z.literal(1),
  /** The authority that everything else is about. */
  directory: z.string(),
  account: z.object({ url: z.string(), contact: z.string() }).optional(),
  order: z.object({ url: z.string(), names: z.array(z.string()), profile: z.string() }).optional(),
  /** The certificate in use, if it came from this authority. */
  installed: z
    .object({
      fingerprint: z.string(),
      names: z.array(z.string()),
      profile: z.string(),
      at: time,
      renewAt: time,
    })
    .optional(),
  /** What the authority says about renewing it. */
  renewal: z.object({ id: z.string(), start: time, end: time, at: time, askAgainAt: time }).optional(),
  /** The last one of a row; none after a success. */
  failure: failure.optional(),
  /** Names beside the domain that the authority did not accept. */
  refused: z.record(z.string(), failure),
  /** The last week's. */
  issued: z.array(z.object({ at: time, names: z.array(z.string()) })),
  /** Since the state was made, for the counters. */
  totals: z.object({ issued: z.number(), failed: z.number() }),
});

export type CertificateState = z.output<typeof schema>;
export type Failure = z.output<typeof failure>;

/** Nothing is known of the authority yet. */
export function newState(directory: string): CertificateState {
  return { version: 1, directory, refused: {}, issued: [], totals: { issued: 0, failed: 0 } };
}

/**
 * The state for this authority; a new one when there is none, or when it is about another authority. One that cannot
 * be read is put aside: without it the relay goes on, and the authority's own limits are above what it would ask for.
 */
export async function readState(path: string, directory: string, log: Log): Promise<CertificateState> {
  const text = (await readIfPresent(path))?.toString();
  if (text === undefined) return newState(directory);
  const parsed = schema.safeParse(jsonOf(text));
  if (!parsed.success) {
    log.error("the state of the certificate cannot be read and is put aside", { path: `${path}.damaged` });
    await rename(path, `${path}.damaged`);
    return newState(directory);
  }
  return parsed.data.directory === directory ? parsed.data : newState(directory);
}

export async function writeState(path: string, state: CertificateState): Promise<void> {
  await replaceDurably(path, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // no object, so the schema refuses it
  }
}
