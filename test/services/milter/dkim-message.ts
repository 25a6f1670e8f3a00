/**
 * Messages with DKIM signatures made by hand, so that each tag can be wrong by itself (what a signer's library
 * never does), and a name server for their keys. Used by the tests of DKIM.
 */
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { TxtResolver } from "../../../services/milter/key-lookup.ts";

export type TestKey = Readonly<{ algorithm: "rsa" | "ed25519"; privateKey: KeyObject; publicKey: KeyObject }>;

export function rsaKey(bits = 2048, publicExponent = 65537): TestKey {
  return { algorithm: "rsa", ...generateKeyPairSync("rsa", { modulusLength: bits, publicExponent }) };
}

export function ed25519Key(): TestKey {
  return { algorithm: "ed25519", ...generateKeyPairSync("ed25519") };
}

/** The p= value (RFC 6376 §3.6.1, RFC 8463 §4). */
export function published({ algorithm, publicKey }: TestKey): string {
  const der = publicKey.export({ type: "spki", format: "der" });
  return (algorithm === "ed25519" ? der.subarray(-32) : der).toString("base64");
}

export function keyRecord(key: TestKey): string {
  return `v=DKIM1;k=${key.algorithm};p=${published(key)}`;
}

export type HandMade = Readonly<{
  key: TestKey;
  /** Tags by name to replace; null leaves one out. They stand in the order v a c d s h bh, new ones, b. */
  tags?: Readonly<Record<string, string | null>>;
  /** Put behind the last tag before b=, as it is. */
  extra?: string;
  /** Header lines; already in relaxed form but for the case of names and the space after the colon. */
  header?: readonly string[];
  body?: string;
}>;

export const plainHeader = ["From: <bobby1234@b.test>", "To: <alice1234@a.test>", "Subject: [...]"];

/** The message with a signature in front, relaxed/simple: the body is to be canonical as it stands. */
export function signByHand({
  key,
  tags = {},
  extra = "",
  header = plainHeader,
  body = "hello\r\n",
}: HandMade): string {
  const bh = createHash("sha256").update(body, "latin1").digest("base64");
  const all: Record<string, string | null> = {
    v: "1",
    a: `${key.algorithm}-sha256`,
    c: "relaxed/simple",
    d: "b.test",
    s: "s1",
    h: "from:to:subject",
    bh,
    ...tags,
  };
  const list = Object.entries(all).flatMap(([name, value]) => (value === null ? [] : [`${name}=${value}`]));
  const field = `${list.join("; ")};${extra} b=`;
  const names = (all.h ?? "")
    .toLowerCase()
    .split(":")
    .map((name) => name.trim());
  const left = [...header];
  const signed = names.flatMap((name) => {
    const place = left.findLastIndex((line) => line.toLowerCase().startsWith(`${name}:`));
    const [line] = place < 0 ? [] : left.splice(place, 1);
    return line === undefined ? [] : [`${name}:${line.slice(line.indexOf(":") + 1).trim()}\r\n`];
  });
  const text = Buffer.from(`${signed.join("")}dkim-signature:${field}`, "utf8");
  const signature =
    key.algorithm === "rsa"
      ? sign(all.a === "rsa-sha1" ? "sha1" : "sha256", text, key.privateKey)
      : sign(null, createHash("sha256").update(text).digest(), key.privateKey);
  return `DKIM-Signature: ${field}${signature.toString("base64")}\r\n${header.join("\r\n")}\r\n\r\n${body}`;
}

/** Answers like a DNS server that has these records, and notes what it is asked; an Error as a record is thrown. */
export function nameServer(records: Readonly<Record<string, readonly string[] | string[][] | Error>>) {
  const asked: string[] = [];
  const resolveTxt: TxtResolver = async (name) => {
    asked.push(name);
    const found = records[name.toLowerCase()];
    if (found === undefined) throw dnsError("ENOTFOUND");
    if (found instanceof Error) throw found;
    return found.map((each) => (typeof each === "string" ? [each] : [...each]));
  };
  return { asked, resolveTxt };
}

/** As node:dns rejects. */
export function dnsError(code: string): Error {
  return Object.assign(new Error(`queryTxt ${code}`), { code });
}
