/** An administrator with a key and an SSH client, who runs commands on a booted machine. Used by ring 3. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { findProgram } from "../../installer/vm/machine.ts";

/** A login takes seconds where processors are translated. Milliseconds. */
const TIMEOUT = 120_000;

export type Administrator = AsyncDisposable &
  Readonly<{
    /** A line of authorized_keys. */
    publicKey: string;
    /** Runs a shell line as root on the machine whose SSH is at this port of 127.0.0.1; its output. Throws unless it ends with 0. */
    run: (port: number, command: string) => Promise<string>;
  }>;

/** Makes a key pair; undefined where there is no OpenSSH. */
export async function makeAdministrator(): Promise<Administrator | undefined> {
  if (findProgram("ssh") === undefined || findProgram("ssh-keygen") === undefined) return undefined;
  const folder = await mkdtemp(join(tmpdir(), "homing-ssh-"));
  const key = join(folder, "key");
  const execute = promisify(execFile);
  await execute("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key]);
  return {
    publicKey: (await readFile(`${key}.pub`, "utf8")).trim(),
    run: async (port, command) => {
      const options = [
        ...[
          "IdentitiesOnly=yes",
          "BatchMode=yes",
          "StrictHostKeyChecking=no",
          "UserKnownHostsFile=/dev/null",
        ],
        ...["LogLevel=ERROR", "ConnectTimeout=60"],
      ].flatMap((option) => ["-o", option]);
      const { stdout } = await execute(
        "ssh",
        ["-F", "none", "-i", key, "-p", String(port), ...options, "root@127.0.0.1", command],
        { timeout: TIMEOUT },
      );
      return stdout;
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
