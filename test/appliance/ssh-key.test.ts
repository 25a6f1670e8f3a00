/** What counts as a line of an SSH public key file (appliance/ssh-key.ts). */
import { execFileSync, spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sshPublicKeyProblem } from "../../appliance/ssh-key.ts";
import { ed25519PublicKeyLine } from "../support/ssh-key.ts";

const good = ed25519PublicKeyLine("me@laptop");
const hasSshKeygen = spawnSync("ssh-keygen", ["-?"]).error === undefined;

/** A key line of these fields (RFC 4251 §5), with bytes behind them. */
function keyLine(type: string, fields: readonly (Uint8Array | string)[], behind = ""): string {
  const parts = [type, ...fields]
    .map((field) => Buffer.from(field))
    .flatMap((field) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(field.length);
      return [length, field];
    });
  return `${type} ${Buffer.concat([...parts, Buffer.from(behind)]).toString("base64")} me`;
}

/** An uncompressed point of a fresh key on the curve. */
function point(curve: string): Buffer {
  const { x, y } = generateKeyPairSync("ec", { namedCurve: curve }).publicKey.export({ format: "jwk" });
  return Buffer.concat([Buffer.from([4]), Buffer.from(x!, "base64url"), Buffer.from(y!, "base64url")]);
}

function rsa(bits: number): Buffer[] {
  const { e, n } = generateKeyPairSync("rsa", { modulusLength: bits }).publicKey.export({ format: "jwk" });
  return [Buffer.from(e!, "base64url"), Buffer.concat([Buffer.from([0]), Buffer.from(n!, "base64url")])];
}

const bytes32 = Buffer.alloc(32, 7);
const offCurve = point("P-256").fill(1, 40);
const keys: Record<string, string> = {
  "ssh-ed25519": good,
  "ssh-rsa": keyLine("ssh-rsa", rsa(2048)),
  "ecdsa-sha2-nistp256": keyLine("ecdsa-sha2-nistp256", ["nistp256", point("P-256")]),
  "ecdsa-sha2-nistp384": keyLine("ecdsa-sha2-nistp384", ["nistp384", point("P-384")]),
  "ecdsa-sha2-nistp521": keyLine("ecdsa-sha2-nistp521", ["nistp521", point("P-521")]),
  "sk-ssh-ed25519@openssh.com": keyLine("sk-ssh-ed25519@openssh.com", [bytes32, "ssh:"]),
  "sk-ecdsa-sha2-nistp256@openssh.com": keyLine("sk-ecdsa-sha2-nistp256@openssh.com", [
    "nistp256",
    point("P-256"),
    "ssh:",
  ]),
};

describe("sshPublicKeyProblem", () => {
  it("accepts a key with a comment, with several words of comment, and without", () => {
    expect(sshPublicKeyProblem(good)).toBeUndefined();
    expect(sshPublicKeyProblem(`${good} of the year`)).toBeUndefined();
    expect(sshPublicKeyProblem(good.split(" ").slice(0, 2).join(" "))).toBeUndefined();
  });

  it.each(Object.entries(keys))("accepts %s, and no shorter part of it", (type, line) => {
    expect(sshPublicKeyProblem(line)).toBeUndefined();
    const whole = line.slice(0, line.lastIndexOf(" "));
    for (let length = type.length; length < whole.length; length++) {
      expect(sshPublicKeyProblem(whole.slice(0, length)), whole.slice(0, length)).toBeDefined();
    }
  });

  it.skipIf(!hasSshKeygen).each([
    ["ed25519", "256"],
    ["ecdsa", "256"],
    ["ecdsa", "384"],
    ["ecdsa", "521"],
    ["rsa", "2048"],
  ])("accepts what ssh-keygen makes: %s with %s bits (ssh-keygen)", (type, bits) => {
    const folder = mkdtempSync(join(tmpdir(), "homing-ssh-"));
    try {
      execFileSync("ssh-keygen", ["-q", "-t", type, "-b", bits, "-N", "", "-f", join(folder, "id")]);
      expect(sshPublicKeyProblem(readFileSync(join(folder, "id.pub"), "utf8").trim())).toBeUndefined();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.skipIf(!hasSshKeygen)("accepts nothing that OpenSSH cannot read (ssh-keygen)", () => {
    const folder = mkdtempSync(join(tmpdir(), "homing-ssh-"));
    const file = join(folder, "id.pub");
    const reads = (line: string) => {
      writeFileSync(file, `${line}\n`);
      return spawnSync("ssh-keygen", ["-l", "-f", file]).status === 0;
    };
    // One byte of the key changed: a point leaves its curve, a length is wrong, a number is even.
    const changed = fc
      .tuple(fc.constantFrom(...Object.values(keys)), fc.nat(), fc.integer({ min: 1, max: 255 }))
      .map(([line, place, change]) => {
        const [type = "", base64 = ""] = line.split(" ");
        const blob = Buffer.from(base64, "base64");
        blob[place % blob.length]! ^= change;
        return `${type} ${blob.toString("base64")}`;
      });
    try {
      fc.assert(
        fc.property(changed, (line) => sshPublicKeyProblem(line) !== undefined || reads(line)),
        { numRuns: 60 },
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("tells somebody who gives the private key to give the public one", () => {
    const { privateKey } = generateKeyPairSync("ed25519");
    const pem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    expect(sshPublicKeyProblem(pem.split("\n")[0] ?? "")).toContain("give the public one");
  });

  it.each([
    ["options in front", `command="sh" ${good}`, "must begin with its type"],
    ["an unknown type", good.replace("ssh-ed25519 ", "ssh-dss "), "found “ssh-dss”"],
    ["a type that is a word of JavaScript", good.replace("ssh-ed25519 ", "constructor "), "must begin"],
    ["a line break, which would smuggle in a second key", `${good}\n${good}`, "line break"],
    ["text that is not Base64", "ssh-ed25519 ÄÖÜ me", "not Base64"],
    ["a missing key", "ssh-ed25519", "not Base64"],
    ["a key that was cut off in its middle", good.slice(0, 60), "damaged or cut off"],
    ["another type in front than inside", good.replace("ssh-ed25519 ", "ssh-rsa "), "damaged"],
    ["an endless line", `${good}${"x".repeat(9000)}`, "at most 8192"],
    ["bytes behind the key", keyLine("ssh-ed25519", [bytes32], "more"), "damaged"],
    ["a field behind the key", keyLine("ssh-ed25519", [bytes32, "more"]), "damaged"],
    ["an Ed25519 key of 31 bytes", keyLine("ssh-ed25519", [bytes32.subarray(1)]), "damaged"],
    ["a point off its curve", keyLine("ecdsa-sha2-nistp256", ["nistp256", offCurve]), "damaged"],
    ["a point of another curve", keyLine("ecdsa-sha2-nistp384", ["nistp384", point("P-256")]), "damaged"],
    ["a security key without application", keyLine("sk-ssh-ed25519@openssh.com", [bytes32]), "damaged"],
    ["an RSA key without modulus", keyLine("ssh-rsa", rsa(1024).slice(0, 1)), "damaged"],
    ["an RSA key that sshd refuses as short", keyLine("ssh-rsa", rsa(768)), "768 bits; 1024 to 16384"],
  ])("refuses %s", (_, line, reason) => {
    expect(sshPublicKeyProblem(line)).toContain(reason);
  });
});
