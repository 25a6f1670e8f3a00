/** The public keys of administrators, as `./homing init --ssh-key` and the wizard take them: a file of ssh-keygen. Reads only. */
import { readFile, stat } from "node:fs/promises";
import { sshPublicKeyProblem } from "../appliance/ssh-key.ts";

/** The file holds something else than public keys. */
export class SshKeyFileError extends Error {
  override name = "SshKeyFileError";
}

/** Hundreds of the longest keys; a larger file is a wrong one. In bytes. */
const MAX_KEY_FILE_BYTES = 1_048_576;

/** The lines of a public key file. Throws SshKeyFileError with file, line and what is wrong. */
export async function readPublicKeys(path: string): Promise<string[]> {
  const file = await stat(path);
  if (!file.isFile()) {
    throw new SshKeyFileError(
      `${path} is ${file.isDirectory() ? "a folder" : "no plain file"}; needed is the file of a public key, ` +
        "like ~/.ssh/id_ed25519.pub",
    );
  }
  if (file.size > MAX_KEY_FILE_BYTES) {
    throw new SshKeyFileError(`${path} has ${file.size} bytes; that is no file of public keys`);
  }
  const text = await readFile(path, "utf8");
  const keys: string[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const problem = sshPublicKeyProblem(line);
    if (problem) throw new SshKeyFileError(`${path}, line ${index + 1}: ${problem}`);
    keys.push(line);
  }
  if (keys.length === 0) throw new SshKeyFileError(`${path} holds no public key`);
  return keys;
}
