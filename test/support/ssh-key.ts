/** Makes SSH public keys for tests. */
import { generateKeyPairSync } from "node:crypto";

/** A fresh Ed25519 public key as a line of authorized_keys (RFC 8709 §4). */
export function ed25519PublicKeyLine(comment: string): string {
  const { publicKey } = generateKeyPairSync("ed25519");
  const raw = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url");
  const blob = [Buffer.from("ssh-ed25519"), raw].flatMap((part) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    return [length, part];
  });
  return `ssh-ed25519 ${Buffer.concat(blob).toString("base64")} ${comment}`;
}
