/**
 * Memory while a message streams by: what is in use when its last piece has come does not depend on how many came, for
 * the judge alone and for a whole session of the milter with the rules, the body's hash and its signature.
 */
import { createHash } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { createLog } from "../../../services/lib/log.ts";
import { createHeaderList } from "../../../services/milter/header-field.ts";
import { createJudge } from "../../../services/milter/judge.ts";
import { createPacketReader } from "../../../services/milter/packet-reader.ts";
import { encodePacket } from "../../../services/milter/protocol.ts";
import { createRateLimit } from "../../../services/milter/rate-limit.ts";
import { createRules } from "../../../services/milter/rules.ts";
import { createSession } from "../../../services/milter/session.ts";
import { nameServer } from "./dkim-message.ts";
import { signatureField, signing, theirRecord } from "./handled-message.ts";
import { wholeMessage } from "./made-messages.ts";
import { offerData, postfixOffer, strings } from "./milter-client.ts";
import { takeApart, type WholeMessage } from "./whole-message.ts";

/** What may differ by chance, in bytes: a buffer or two of 64 kB and the engine's own. */
const SLACK = 1_000_000;

/** The collector by itself would make the measurement a matter of chance. */
function collector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}
const collect = collector();

function bytesInUse(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

type Streamed = Readonly<{
  fields: WholeMessage["fields"];
  /** Gives the body once more at each call; all its pieces but the last. */
  pieces(): Generator<Buffer>;
  last: Buffer;
}>;

/** An encrypted message of so many MiB, made while it is read: one packet of 57 octets a line. */
function streamedMessage(mebibytes: number): Streamed {
  const piece = Buffer.from(`${"A".repeat(76)}\r\n`.repeat(840));
  const count = Math.floor((mebibytes * 2 ** 20) / piece.length);
  const head = Buffer.alloc(57);
  head.writeUInt8(0xd2, 0);
  head.writeUInt8(0xff, 1);
  head.writeUInt32BE(count * 840 * 57 + 51, 2);
  head.writeUInt8(1, 6);
  const [before, after] = wholeMessage("ARMOR").split("ARMOR") as [string, string];
  const { fields, body } = takeApart(Buffer.from(before));
  return {
    fields,
    *pieces() {
      yield body;
      yield Buffer.from(`-----BEGIN PGP MESSAGE-----\r\n\r\n${head.toString("base64")}\r\n`);
      for (let index = 0; index < count; index++) yield piece;
    },
    last: Buffer.from(`-----END PGP MESSAGE-----${after}`),
  };
}

/** Bytes in use while the judge has all but the end of an accepted message behind it. */
function judging({ fields, pieces, last }: Streamed): number {
  const header = createHeaderList();
  for (const [name, value] of fields) header.add(name, value);
  const judge = createJudge({ ...header, allowArmorVersion: false });
  for (const piece of pieces()) judge.write(piece);
  const bytes = bytesInUse();
  judge.write(last);
  expect(judge.end()).toEqual({ kind: "encrypted" });
  return bytes;
}

it("the judge needs no more for a quarter of a gigabyte than for a sixteenth of that", () => {
  const small = judging(streamedMessage(16));
  expect(judging(streamedMessage(256)) - small).toBeLessThan(SLACK);
}, 60_000);

/** The same in a session over the milter protocol, up to the answer that the message is accepted. */
async function inSession(daemon: "submission" | "mx", message: Streamed): Promise<number> {
  const { resolveTxt } = nameServer({ "s1._domainkey.a.test": [theirRecord] });
  const rateLimit = createRateLimit({ perMinute: 60, burst: 10 });
  const daemons = createRules({ key: () => signing, rateLimit, resolveTxt, now: () => 0 });
  const answers: string[] = [];
  const send = (packet: Buffer) => answers.push(packet.toString("latin1", 4, 5));
  const session = createSession(send, { daemons, log: createLog(() => {}, false) });
  const reader = createPacketReader();
  const say = async (command: string, data?: Uint8Array): Promise<void> => {
    reader.push(encodePacket(command, data));
    for (let packet = reader.next(); packet !== null; packet = reader.next()) await session.take(packet);
  };
  const fields = daemon === "mx" ? [await signatureOf(message), ...message.fields] : message.fields;
  await say("O", offerData(postfixOffer));
  await say("D", Buffer.concat([Buffer.from("C"), strings("{daemon_name}", daemon)]));
  await say("C", Buffer.from("client.test\x004\0\x19192.0.2.1\0"));
  await say("D", Buffer.concat([Buffer.from("M"), strings("{auth_authen}", "sender@a.test")]));
  await say("M", strings("<sender@a.test>"));
  await say("R", strings("<recipient@b.test>"));
  for (const [name, value] of fields) await say("L", Buffer.from(`${name}\0${value}\0`, "latin1"));
  await say("N");
  for (const piece of message.pieces()) await say("B", piece);
  const bytes = bytesInUse();
  await say("B", message.last);
  expect(new Set(answers.slice(1))).toEqual(new Set(["c"]));
  answers.length = 0;
  await say("E");
  expect(answers.join("")).toBe(daemon === "mx" ? "c" : "mic");
  return bytes;
}

async function signatureOf({ fields, pieces, last }: Streamed): Promise<[string, string]> {
  const hash = createHash("sha256");
  for (const piece of pieces()) hash.update(piece);
  return signatureField(fields, hash.update(last).digest("base64"), { domain: "a.test", kind: "good" });
}

it.each(["submission", "mx"] as const)(
  "judgement, rules, hash and signature together need no more for 30 MB than for 3 MB: %s",
  async (daemon) => {
    // What is compiled and cached once is not the message's.
    await inSession(daemon, streamedMessage(1));
    const small = await inSession(daemon, streamedMessage(3));
    expect((await inSession(daemon, streamedMessage(30))) - small).toBeLessThan(SLACK);
  },
  60_000,
);
