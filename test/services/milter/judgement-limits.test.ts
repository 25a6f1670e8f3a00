/** The judgement at its limits: cut off anywhere, endless, and by the work it does whatever comes. */
import { expect, it } from "vitest";
import { createHeaderList, type HeaderList, headerLimits } from "../../../services/milter/header-field.ts";
import { createJudge } from "../../../services/milter/judge.ts";
import { MAX_CASE_MILLISECONDS, timed } from "./cpu-limit.ts";
import { handleDelivery, handleSubmission } from "./handled-message.ts";
import { boundary, joinRequest, madeMessages, wholeMessage } from "./made-messages.ts";
import { packet, packetBytes } from "./packets.ts";
import { judgeWhole, takeApart } from "./whole-message.ts";

const kindOf = (message: string) => judgeWhole(takeApart(Buffer.from(message, "latin1")), false).verdict.kind;

it("takes no message that was cut off anywhere before the closing boundary's end", async () => {
  const made = await madeMessages();
  const short = [...made.values(), joinRequest].filter((message) => message.length < 1000);
  expect(short.length).toBeGreaterThan(2);
  for (const message of short) {
    const needed = message.length - "\r\n".length;
    for (let length = 0; length < needed; length++) {
      expect(kindOf(message.slice(0, length)), `the first ${length} bytes`).toBe("unencrypted");
    }
    for (const length of [needed, message.length]) {
      expect(kindOf(message.slice(0, length))).not.toBe("unencrypted");
    }
  }
});

it("takes no OpenPGP data that was cut off anywhere", () => {
  const armored = (bytes: Buffer) =>
    `-----BEGIN PGP MESSAGE-----\r\n\r\n${bytes.toString("base64").replace(/.{64}/g, "$&\r\n")}\r\n-----END PGP MESSAGE-----\r\n`;
  const bytes = packetBytes([packet(1, 20), packet(3, 10), { type: 18, length: 1100, frame: "partial" }]);
  expect(kindOf(wholeMessage(armored(bytes)))).toBe("encrypted");
  for (let length = 1; length < bytes.length; length++) {
    expect(kindOf(wholeMessage(armored(bytes.subarray(0, length)))), `${length} octets`).toBe("unencrypted");
  }
});

it("stops at the first of 100 000 parts that are too many", async () => {
  const part = `--${boundary}\r\nContent-Type: text/plain\r\n\r\nhello\r\n`;
  const header = `Content-Type: multipart/mixed; boundary="${boundary}"\r\nSecure-Join: vc-request\r\n\r\n`;
  const request = part.replace("hello", "secure-join: vc-request");
  const message = takeApart(Buffer.from(`${header}${request}${part.repeat(100_000)}--${boundary}--\r\n`));
  const cuts = [...Array(10).keys()].map((index) => (index + 1) * request.length);
  const { result, milliseconds } = await timed(() => judgeWhole(message, false, cuts));
  expect(result.verdict.kind).toBe("unencrypted");
  expect(result.hopelessAfter).toBeLessThanOrEqual(4 * request.length);
  expect(milliseconds).toBeLessThan(MAX_CASE_MILLISECONDS);
});

it.each<[string, (list: HeaderList) => void]>([
  [
    "100 000 fields",
    (list) => {
      for (let count = 0; count < 100_000; count++) list.add("X", ` ${"y".repeat(100)}`);
    },
  ],
  [
    "a megabyte",
    (list) => {
      for (let count = 0; count < 100; count++) list.add("X", ` ${"y".repeat(10_000)}`);
    },
  ],
  ["too many lines", (list) => list.add("X", " y\n".repeat(headerLimits.maxLines))],
])("holds no more of a header than its limits say, and is soon done with it: %s", async (_name, fill) => {
  const list = createHeaderList();
  const { result: isHopeless, milliseconds } = await timed(() => {
    fill(list);
    return createJudge({ ...list, allowArmorVersion: true }).isHopeless();
  });
  expect([isHopeless, list.tooLarge()]).toEqual([true, true]);
  expect(list.fields.length).toBeLessThanOrEqual(headerLimits.maxFields);
  const held = list.fields.reduce((sum, field) => sum + field.value.length, 0);
  expect(held).toBeLessThan(headerLimits.maxBytes);
  expect(milliseconds).toBeLessThan(MAX_CASE_MILLISECONDS);
});

/** As large as a header may be, made of what each reader of it could be slow about. */
const largest: readonly [string, string][] = [
  ...Array.from({ length: headerLimits.maxFields - 3 }, (): [string, string] => [
    "DKIM-Signature",
    ` v=1;${"\n\t".padEnd(200, "a=")}`,
  ]),
  ["From", ` ${"(a) ".repeat(1000)}`],
  ["Content-Type", ` multipart/encrypted;${" ".repeat(2000)}boundary ${"=".repeat(2000)}`],
  ["Subject", `${" \n\t x".repeat(2000)}`],
];

it.each(["submission", "delivery"])(
  "is soon done with the largest and slowest header of a %s",
  async (direction) => {
    const message = { fields: largest, body: Buffer.from("hello\r\n".repeat(10_000)) };
    const sender = "<sender@a.test>";
    const { outcome, milliseconds } =
      direction === "submission"
        ? await handleSubmission({ sender, login: "sender@a.test", recipients: [], message })
        : await handleDelivery({ sender, client: "192.0.2.1", signature: null, message });
    expect(outcome).toBe("500 Invalid FROM");
    expect(milliseconds).toBeLessThan(MAX_CASE_MILLISECONDS);
  },
);
