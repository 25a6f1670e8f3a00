/**
 * Encrypted messages as GnuPG writes them, and what only old or other kinds of OpenPGP know: keys of version 3 and 5,
 * data in OCB as LibrePGP has it, data without integrity. Each is judged by the product and by the reference.
 */
import { spawnSync } from "node:child_process";
import { createCipheriv } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { config, createMessage, decrypt, encrypt, readMessage, unarmor } from "openpgp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publicKey, wholeMessage } from "./made-messages.ts";
import { referenceVerdict } from "./reference-judge.ts";
import { judgeWhole, takeApart } from "./whole-message.ts";

/** What both say of the armored text in a message: going out, and coming in. */
async function verdicts(armored: string): Promise<{ outgoing: string; incoming: string }> {
  const message = takeApart(Buffer.from(wholeMessage(armored), "latin1"));
  const kinds = [false, true].map((allow) => judgeWhole(message, allow).verdict.kind);
  expect(kinds).toEqual([await referenceVerdict(message, false), await referenceVerdict(message, true)]);
  return { outgoing: kinds[0]!, incoming: kinds[1]! };
}

const both = (kind: string) => ({ outgoing: kind, incoming: kind });

const program = spawnSync("gpg", ["--version"], { encoding: "utf8" });
const isThere = /\(GnuPG\)/.test(program.stdout ?? "");

describe("what GnuPG makes (needs gpg)", () => {
  const home = mkdtempSync(join(tmpdir(), "homing-gpg-"));
  afterAll(() => rmSync(home, { recursive: true }));

  /** GnuPG without an agent, which public keys do not need. */
  const gpg = (args: readonly string[], input: string): string => {
    const options = ["--homedir", home, "--batch", "--no-autostart", "--no-auto-key-locate", "--quiet"];
    const { status, stdout, stderr } = spawnSync("gpg", [...options, ...args], { input, encoding: "utf8" });
    if (status !== 0) throw new Error(`gpg ${args.join(" ")} ended with ${status}: ${stderr}`);
    return stdout;
  };
  const toKeys = ["--armor", "--encrypt", "--trust-model", "always"];
  const recipients = ["rsa", "curve", "nist"].flatMap((name) => ["--recipient", `${name}@b.test`]);
  const text = "A line of a letter.\n".repeat(2000);

  beforeAll(async () => {
    if (!isThere) return;
    const kinds = {
      rsa: { type: "rsa", rsaBits: 2048 },
      curve: { type: "ecc", curve: "curve25519Legacy" },
      nist: { type: "ecc", curve: "nistP256" },
    } as const;
    for (const [name, kind] of Object.entries(kinds)) {
      const path = join(home, `${name}.asc`);
      writeFileSync(path, (await publicKey(kind, {}, `${name}@b.test`)).armor());
      gpg(["--import", path], "");
    }
  });

  it.skipIf(!isThere).each<[string, readonly string[], string]>([
    ["for RSA, Curve25519 and P-256", recipients, text],
    ["for one key", ["--recipient", "rsa@b.test"], "hello"],
    ["for hidden recipients", ["--throw-keyids", ...recipients], "hello"],
    ["uncompressed, in partial lengths", ["--compress-algo", "none", ...recipients], text],
  ])("is encrypted: %s", async (_name, args, letter) => {
    expect(await verdicts(gpg([...toKeys, ...args], letter))).toEqual(both("encrypted"));
  });

  it.skipIf(!isThere)("may say its version coming in, which tells about the sender going out", async () => {
    const armored = gpg([...toKeys, "--emit-version", ...recipients], "hello");
    expect(armored).toMatch(/^Version: GnuPG/m);
    expect(await verdicts(armored)).toEqual({ outgoing: "unencrypted", incoming: "encrypted" });
  });

  it.skipIf(!isThere)("may say nothing else in the armor", async () => {
    const armored = gpg([...toKeys, "--comment", "hello", ...recipients], "hello");
    expect(await verdicts(armored)).toEqual(both("unencrypted"));
  });

  it.skipIf(!isThere)("is not encrypted when it is only packed", async () => {
    expect(await verdicts(gpg(["--armor", "--store"], text))).toEqual(both("unencrypted"));
  });
});

/** `gpg --encrypt --compliance gnupg --force-ocb` of GnuPG 2.4.7; older ones, as of Debian 12, cannot. */
const inOcb = await readFile(new URL("gnupg-2.4-ocb.asc", import.meta.url), "utf8");

describe("OpenPGP of other times", () => {
  it("is refused in OCB, which GnuPG writes to keys that ask for it and RFC 9580 does not know", async () => {
    const last = (await readMessage({ armoredMessage: inOcb })).packets.at(-1)!;
    expect((last.constructor as unknown as { tag: number }).tag).toBe(20);
    expect(await verdicts(inOcb)).toEqual(both("unencrypted"));
  });

  let keyPacket: Buffer;
  let data: Buffer;

  beforeAll(async () => {
    const key = await publicKey({ type: "rsa", rsaBits: 2048 });
    const armored = await encrypt({ message: await createMessage({ text: "hello" }), encryptionKeys: key });
    const bytes = Buffer.from((await unarmor(armored)).data as Uint8Array);
    // PKESK in a two-octet length (RFC 9580 §4.2.1.2), then SEIPD.
    const end = 3 + (bytes[1]! - 192) * 256 + bytes[2]! + 192;
    [keyPacket, data] = [bytes.subarray(0, end), bytes.subarray(end)];
  });

  /** The session key with other octets at a place of its packet. */
  const withOctets = (at: number, ...octets: number[]): Buffer => {
    const changed = Buffer.from(keyPacket);
    changed.set(octets, at);
    return changed;
  };

  it("is encrypted for keys of version 3 and 5: only the key's id, at octet 1 of the packet, is made otherwise", async () => {
    const id = [...Buffer.from("0123456789abcdef", "hex")];
    expect(await verdicts(armor([keyPacket, data]))).toEqual(both("encrypted"));
    expect(await verdicts(armor([withOctets(4, ...id), data]))).toEqual(both("encrypted"));
  });

  it("is refused with a session key of version 2, as PGP 2.6 wrote it, or 5, which nobody has", async () => {
    expect(await verdicts(armor([withOctets(3, 2), data]))).toEqual(both("unencrypted"));
    expect(await verdicts(armor([withOctets(3, 5), data]))).toEqual(both("unencrypted"));
  });

  it("is refused in OCB as LibrePGP has it, though openpgp can read it", async () => {
    const key = Buffer.alloc(32, 7);
    const inside = Buffer.from("cb0b62000000000068656c6c6f", "hex");
    const packet = ocbPacket(key, inside);
    const message = await readMessage({ binaryMessage: packet });
    const settings = { ...config, enableParsingV5Entities: true };
    const sessionKeys = { data: key, algorithm: "aes256" } as const;
    expect((await decrypt({ message, sessionKeys, config: settings })).data).toBe("hello");
    expect(await verdicts(armor([packet]))).toEqual(both("unencrypted"));
    expect(await verdicts(armor([keyPacket, packet]))).toEqual(both("unencrypted"));
    // A session key for a password of version 5: cipher, mode, S2K, nonce, key, tag.
    const session = Buffer.concat([Buffer.from("c341050902030888", "hex"), Buffer.alloc(59, 7)]);
    expect(await verdicts(armor([session, packet]))).toEqual(both("unencrypted"));
  });

  it("is refused without integrity", async () => {
    const octets = data.subarray(data.length - 40);
    const packet = Buffer.concat([Buffer.from([0xc9, octets.length]), octets]);
    expect(await verdicts(armor([keyPacket, packet]))).toEqual(both("unencrypted"));
  });
});

function armor(packets: readonly Buffer[]): string {
  const lines =
    Buffer.concat(packets)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return ["-----BEGIN PGP MESSAGE-----", "", ...lines, "-----END PGP MESSAGE-----"].join("\n");
}

/** An "OCB Encrypted Data" packet (tag 20, draft-koch-librepgp §5.16) of one chunk, AES-256. */
function ocbPacket(key: Buffer, content: Buffer): Buffer {
  const head = Buffer.from([0xd4, 1, 9, 2, 10]);
  const start = Buffer.alloc(15, 3);
  const seal = (index: number, text: Buffer, length?: number): Buffer => {
    const nonce = Buffer.from(start);
    nonce[14]! ^= index;
    const cipher = createCipheriv("aes-256-ocb", key, nonce, { authTagLength: 16 });
    const counts = Buffer.alloc(length === undefined ? 8 : 16);
    counts.writeUInt8(index, 7);
    if (length !== undefined) counts.writeUInt8(length, 15);
    cipher.setAAD(Buffer.concat([head, counts]));
    return Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]);
  };
  const body = Buffer.concat([
    head.subarray(1),
    start,
    seal(0, content),
    seal(1, Buffer.alloc(0), content.length),
  ]);
  return Buffer.concat([head.subarray(0, 1), Buffer.from([body.length]), body]);
}
