/**
 * Encrypted messages of every kind that openpgp makes, as seeds for the property tests and the fuzzer: session
 * keys for keys of version 4 and 6 and for passwords, encrypted data of version 1 and 2, partial lengths.
 */
import {
  config,
  createMessage,
  encrypt,
  enums,
  generateKey,
  type PartialConfig,
  type PublicKey,
} from "openpgp";
import { encryptedLines } from "../../support/mail.ts";

export const boundary = "=-bound'(ary)";

type Kind = Readonly<{
  name: string;
  keys?: readonly PublicKey[];
  passwords?: string[];
  text: string;
  isStream?: boolean;
  isAead?: boolean;
}>;

/** Name and whole message, line ends CRLF. */
export async function madeMessages(): Promise<ReadonlyMap<string, string>> {
  const old = await publicKey("curve25519", false);
  const v6 = await publicKey("curve25519", true);
  const nist = await publicKey("nistP256", false);
  const long = "A line of a letter.\r\n".repeat(250);
  const kinds: readonly Kind[] = [
    { name: "one key of version 4", keys: [old], text: "hello" },
    { name: "two keys, empty text", keys: [old, nist], text: "" },
    { name: "a key and passwords", keys: [old], passwords: ["one", "two"], text: long },
    { name: "a password", passwords: ["one"], text: "hello" },
    { name: "keys of version 6", keys: [v6, v6], text: "hello", isAead: true },
    { name: "a key of version 6 and a password", keys: [v6], passwords: ["one"], text: long, isAead: true },
    { name: "a stream in partial lengths", keys: [old], text: random(3000), isStream: true },
    { name: "a stream of version 2", keys: [v6], text: random(3000), isStream: true, isAead: true },
  ];
  const made = new Map<string, string>();
  for (const kind of kinds) made.set(kind.name, wholeMessage(await armored(kind)));
  return made;
}

/** Text that does not compress, the same in every run. */
function random(length: number): string {
  let state = 1;
  return Array.from({ length }, () => {
    state = (state * 48271) % 2147483647;
    return String.fromCharCode(33 + (state % 90));
  }).join("");
}

async function publicKey(curve: "curve25519" | "nistP256", isV6: boolean): Promise<PublicKey> {
  const options: PartialConfig = { ...config, v6Keys: isV6, aeadProtect: isV6 };
  const type = curve === "nistP256" ? ({ type: "ecc", curve } as const) : ({ type: "curve25519" } as const);
  const pair = await generateKey({
    ...type,
    userIDs: [{ email: "a@b.test" }],
    format: "object",
    config: options,
  });
  return pair.publicKey;
}

async function armored({
  keys = [],
  passwords = [],
  text,
  isStream = false,
  isAead = false,
}: Kind): Promise<string> {
  const options: PartialConfig = {
    ...config,
    aeadProtect: isAead,
    preferredCompressionAlgorithm: enums.compression.uncompressed,
    s2kType: enums.s2k.iterated,
  };
  const recipients = {
    ...(keys.length > 0 ? { encryptionKeys: [...keys] } : {}),
    ...(passwords.length > 0 ? { passwords } : {}),
  };
  if (!isStream)
    return await encrypt({ message: await createMessage({ text }), ...recipients, config: options });
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < text.length; at += 700) controller.enqueue(Buffer.from(text.slice(at, at + 700)));
      controller.close();
    },
  });
  const message = await createMessage({ binary: stream });
  const output = await encrypt({ message, ...recipients, config: options });
  let whole = "";
  for await (const piece of output as unknown as AsyncIterable<string>) whole += piece;
  return whole;
}

/** The armored text as a message like those of chatmail clients. */
export function wholeMessage(armor: string): string {
  return [
    "From: <sender@a.test>",
    "To: <recipient@b.test>",
    "Subject: [...]",
    "MIME-Version: 1.0",
    ...encryptedLines(armor, boundary),
  ].join("\r\n");
}

/** A request that begins a secure-join, as it is when no keys are known. */
export const joinRequest = [
  "From: <sender@a.test>",
  "Secure-Join: vc-request",
  "MIME-Version: 1.0",
  `Content-Type: multipart/mixed; boundary="${boundary}"`,
  "",
  `--${boundary}`,
  "Content-Type: text/plain; charset=utf-8",
  "",
  "Secure-Join: vc-request",
  `--${boundary}--`,
  "",
].join("\r\n");
