/**
 * Encrypted messages of every kind that openpgp makes, as seeds for the property tests and the fuzzer: session
 * keys for RSA and curves, for keys of version 4 and 6, for hidden recipients and for passwords, encrypted data of
 * version 1 and 2, partial lengths. What only other programs write is in other-programs.test.ts.
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

type KeyKind =
  | Readonly<{ type: "curve25519" }>
  | Readonly<{ type: "ecc"; curve: "nistP256" | "curve25519Legacy" }>
  | Readonly<{ type: "rsa"; rsaBits: number }>;

type Kind = Readonly<{
  name: string;
  keys?: readonly PublicKey[];
  passwords?: string[];
  text: string;
  isStream?: boolean;
  isAead?: boolean;
  /** Session keys without the ids of the keys they are for. */
  isHidden?: boolean;
  isArgon?: boolean;
}>;

/** Name and whole message, line ends CRLF. */
export async function madeMessages(): Promise<ReadonlyMap<string, string>> {
  const old = await publicKey({ type: "curve25519" });
  const v6 = await publicKey({ type: "curve25519" }, { v6Keys: true, aeadProtect: true });
  const nist = await publicKey({ type: "ecc", curve: "nistP256" });
  const legacy = await publicKey({ type: "ecc", curve: "curve25519Legacy" });
  const rsa = await publicKey({ type: "rsa", rsaBits: 2048 });
  const aeadOld = await publicKey({ type: "curve25519" }, { aeadProtect: true });
  const long = "A line of a letter.\r\n".repeat(250);
  const kinds: readonly Kind[] = [
    { name: "one key of version 4", keys: [old], text: "hello" },
    { name: "two keys, empty text", keys: [old, nist], text: "" },
    { name: "a key and passwords", keys: [old], passwords: ["one", "two"], text: long },
    { name: "a password", passwords: ["one"], text: "hello" },
    { name: "keys of version 6", keys: [v6, v6], text: "hello", isAead: true },
    { name: "a key of version 6 and a password", keys: [v6], passwords: ["one"], text: long, isAead: true },
    { name: "a key of version 4, data of version 2", keys: [aeadOld], text: "hello", isAead: true },
    { name: "keys of version 4 and 6", keys: [legacy, v6], text: "hello", isAead: true },
    { name: "hidden recipients", keys: [rsa, old], text: "hello", isHidden: true },
    { name: "a hidden recipient of version 6", keys: [v6], text: "hello", isHidden: true, isAead: true },
    { name: "a password by Argon2", passwords: ["one"], text: "hello", isArgon: true },
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

export async function publicKey(
  kind: KeyKind,
  settings: PartialConfig = {},
  email = "a@b.test",
): Promise<PublicKey> {
  const { publicKey: made } = await generateKey({
    ...kind,
    userIDs: [{ email }],
    format: "object",
    config: { ...config, ...settings },
  });
  return made;
}

async function armored({
  keys = [],
  passwords = [],
  text,
  isStream = false,
  isAead = false,
  isHidden = false,
  isArgon = false,
}: Kind): Promise<string> {
  const options: PartialConfig = {
    ...config,
    aeadProtect: isAead,
    preferredCompressionAlgorithm: enums.compression.uncompressed,
    s2kType: isArgon ? enums.s2k.argon2 : enums.s2k.iterated,
  };
  const recipients = {
    ...(keys.length > 0 ? { encryptionKeys: [...keys] } : {}),
    ...(passwords.length > 0 ? { passwords } : {}),
    wildcard: isHidden,
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
