/**
 * Whole messages for the tests of the judgement: taken apart as Postfix hands them to a milter, and judged by
 * the product in any pieces. Used by the property tests, the corpus and the fuzzer.
 */
import { createHeaderList } from "../../../services/milter/header-field.ts";
import { createJudge, type Verdict } from "../../../services/milter/judge.ts";

export type WholeMessage = Readonly<{
  /** Name and value as binary strings; lines of a value are divided by "\n". */
  fields: readonly (readonly [name: string, value: string])[];
  body: Buffer;
}>;

/**
 * A line that is neither a field nor the continuation of one ends the header, and the body begins with it;
 * both CRLF and LF end a line. This is what Postfix does.
 */
export function takeApart(raw: Uint8Array): WholeMessage {
  const text = Buffer.from(raw).toString("latin1");
  const fields: [string, string][] = [];
  let at = 0;
  while (at < text.length) {
    const end = text.indexOf("\n", at);
    const next = end < 0 ? text.length : end + 1;
    const line = text.slice(at, end < 0 ? text.length : end).replace(/\r$/, "");
    if (line === "") return { fields, body: Buffer.from(text.slice(next), "latin1") };
    const colon = line.indexOf(":");
    const last = fields.at(-1);
    if (/^[ \t]/.test(line) && last !== undefined) last[1] += `\n${line}`;
    else if (/^[!-9;-~]+[ \t]*:/.test(line)) fields.push([line.slice(0, colon), line.slice(colon + 1)]);
    else break;
    at = next;
  }
  return { fields, body: Buffer.from(text.slice(at), "latin1") };
}

/** The message as it goes on, in bytes. */
export function compose({ fields, body }: WholeMessage): Buffer {
  const header = fields.map(([name, value]) => `${name}:${value.replaceAll("\n", "\r\n")}\r\n`).join("");
  return Buffer.concat([Buffer.from(`${header}\r\n`, "latin1"), body]);
}

export type Judged = Readonly<{
  verdict: Verdict;
  /** Bytes of the body after which the judge knew that it is hopeless; null when it never did. */
  hopelessAfter: number | null;
}>;

/** The product's verdict, the body given in pieces that end at `cuts` (in order). */
export function judgeWhole(
  { fields, body }: WholeMessage,
  allowArmorVersion: boolean,
  cuts: readonly number[] = [],
): Judged {
  const header = createHeaderList();
  for (const [name, value] of fields) header.add(name, value);
  const judge = createJudge({ ...header, allowArmorVersion });
  let hopelessAfter = judge.isHopeless() ? 0 : null;
  let start = 0;
  for (const end of [...cuts, body.length]) {
    // A fresh copy each: pieces are valid during the call only.
    judge.write(Buffer.from(body.subarray(start, end)));
    start = end;
    if (hopelessAfter === null && judge.isHopeless()) hopelessAfter = end;
  }
  return { verdict: judge.end(), hopelessAfter };
}
