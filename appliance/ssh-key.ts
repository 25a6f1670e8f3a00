/**
 * Judges one line of an OpenSSH public key file (sshd(8), AUTHORIZED_KEYS FILE FORMAT; RFC 4253 §6.6).
 * Used by the settings and by `./homing init --ssh-key`. Options in front of the key are not taken: a relay
 * has one kind of administrator.
 */

/** Enough for the longest key, RSA with 16384 bits, and a comment. */
const MAX_LINE_LENGTH = 8192;

const keyTypes = [
  "ssh-ed25519",
  "sk-ssh-ed25519@openssh.com",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "sk-ecdsa-sha2-nistp256@openssh.com",
  "ssh-rsa",
];

/** What is wrong with the line as an SSH public key, in a few words; undefined when it is a good one. */
export function sshPublicKeyProblem(line: string): string | undefined {
  if (/PRIVATE KEY/.test(line))
    return "this is a private key; give the public one, the file that ends in .pub";
  // Every other control character would end the line in authorized_keys or hide something from the reader.
  if (/\p{Cc}/u.test(line)) return "it holds a line break or another control character";
  if (line.length > MAX_LINE_LENGTH)
    return `it has ${line.length} characters, at most ${MAX_LINE_LENGTH} are allowed`;
  const [type = "", base64 = ""] = line.split(" ");
  if (!keyTypes.includes(type)) {
    return `it must begin with its type, one of ${keyTypes.join(", ")}; found “${type.slice(0, 40)}”`;
  }
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return "the key after the type is not Base64";
  const blob = Buffer.from(base64, "base64");
  const length = blob.length >= 4 ? blob.readUInt32BE(0) : 0;
  // The blob begins with the type again, so a cut or mistyped line shows here.
  if (blob.toString("latin1", 4, 4 + length) !== type || blob.length <= 4 + length) {
    return "the key after the type is damaged or cut off";
  }
  return undefined;
}
