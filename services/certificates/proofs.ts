/**
 * The records that were put into the zone as proofs, on the data partition: noted before they are made and struck out
 * when they are gone, so that a later look takes away what a kill or a silent provider left. Used by challenges.ts.
 */
import { rename } from "node:fs/promises";
import * as z from "zod";
import { replaceDurably } from "../../appliance/durable.ts";
import { readIfPresent } from "../../appliance/life/disk.ts";
import type { Log } from "../lib/log.ts";

const proofSchema = z.object({
  /** Which is proved. */
  name: z.string(),
  /** Of the TXT record. */
  text: z.string(),
  /** Where the record is: an alias may lead elsewhere by the time it is taken away. */
  place: z.string(),
});
const schema = z.array(proofSchema);

export type Proof = z.output<typeof proofSchema>;

export type ProofNotes = Readonly<{
  all(): readonly Proof[];
  /** Resolves when it is on the disk. Errors are those of the system calls. */
  add(proof: Proof): Promise<void>;
  remove(proof: Proof): Promise<void>;
}>;

/** Notes that cannot be read are put aside: then a text may stay in the zone, which proves nothing any more. */
export async function openProofNotes(path: string, log: Log): Promise<ProofNotes> {
  const text = (await readIfPresent(path))?.toString();
  let proofs: readonly Proof[] = [];
  if (text !== undefined) {
    const parsed = schema.safeParse(jsonOf(text));
    if (parsed.success) proofs = parsed.data;
    else {
      log.error("the notes of proofs in the DNS cannot be read and are put aside", {
        path: `${path}.damaged`,
      });
      await rename(path, `${path}.damaged`);
    }
  }
  let last: Promise<unknown> = Promise.resolve();
  /** One after another: each writes all that is noted by then. */
  const write = (changed: readonly Proof[]): Promise<void> => {
    proofs = changed;
    const done = last.then(() => replaceDurably(path, `${JSON.stringify(proofs)}\n`, { mode: 0o600 }));
    last = done.catch(() => undefined);
    return done;
  };
  return {
    all: () => proofs,
    add: (proof) => write([...proofs, proof]),
    remove: (proof) => write(proofs.filter((one) => one !== proof)),
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // no list, so the schema refuses it
  }
}
