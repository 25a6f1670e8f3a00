/** A message through our DKIM verification and through mailauth's, its judge. Used by dkim-verify*.test.ts. */
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import {
  createDkimVerifier,
  type DkimResult,
  type KeyWaits,
  keyWaits,
} from "../../../services/milter/dkim-verify.ts";
import { createHeaderList } from "../../../services/milter/header-field.ts";
import { createKeyLookup, type TxtResolver } from "../../../services/milter/key-lookup.ts";

type Judging = Readonly<{
  resolveTxt: TxtResolver;
  domain?: string;
  date?: number;
  pieces?: number;
  waits?: KeyWaits;
}>;

/** The verdict of our verification on a message, its body given in pieces of so many bytes. */
export async function verified(
  source: string,
  { resolveTxt, domain = "b.test", date = Date.now(), pieces = 65535, waits = keyWaits }: Judging,
): Promise<DkimResult> {
  const end = source.indexOf("\r\n\r\n");
  const header = createHeaderList();
  // As the milter gets it: octets in a binary string, folded lines divided by "\n".
  const head = Buffer.from(source.slice(0, end)).toString("latin1");
  for (const line of head.replace(/\r\n(?=[ \t])/g, "\n").split("\r\n")) {
    const colon = line.indexOf(":");
    header.add(line.slice(0, colon), line.slice(colon + 1));
  }
  const lookUpKey = createKeyLookup({ resolveTxt, now: () => 0 });
  const verifier = createDkimVerifier({
    fields: header.fields,
    fromDomain: domain,
    lookUpKey,
    clientAddress: null,
    date: () => date,
    waits,
  });
  const body = Buffer.from(source.slice(end + 4));
  for (let at = 0; at < body.length; at += pieces) verifier.write(body.subarray(at, at + pieces));
  return verifier.end();
}

/** What mailauth says, strictly: "pass" or another word, for each signature. */
export async function judged(source: string, resolveTxt: TxtResolver, date = Date.now()): Promise<string[]> {
  const options = { resolver: resolveTxt, strict: true, minBitLength: 1024, curTime: new Date(date) };
  const { results } = await dkimVerify(Buffer.from(source), options);
  return results.map(({ status }) => status.result);
}
