/** How npm is started, and what to do when it fails. Called by image/packages/{node-runtime,npm-bytes}.ts. */
import { tmpdir } from "node:os";
import { TEMPORARY_VARIABLE } from "../temporary-folder.ts";
import { isUnknownAuthority, networkMend } from "./network-mend.ts";

/**
 * How npm is started with these words. On Windows it is a batch file, which only the shell runs, and Node quotes nothing
 * for that (DEP0190): so words that need quotes, such as a folder whose name has a space, are refused. Throws
 * TypeError for one.
 */
export function npmCommand(
  words: readonly string[],
  platform: NodeJS.Platform,
): { command: string; args: readonly string[]; shell: boolean } {
  if (platform !== "win32") return { command: "npm", args: words, shell: false };
  const unsafe = words.find((word) => !/^[\w@.=/:-]+$/.test(word));
  if (unsafe !== undefined) throw new TypeError(`"${unsafe}" cannot be given to npm on Windows`);
  return { command: ["npm.cmd", ...words].join(" "), args: [], shell: true };
}

const NO_CONNECTION = /\b(EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|E(NET|HOST)UNREACH)\b/;

const NO_ROOM = /\b(ENOSPC|EDQUOT)\b/;
const NOT_WRITABLE = /\b(EACCES|EPERM|EROFS)\b/;

/** What to do about a failure of npm, by what it printed. */
export function npmMend(
  complaint: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  if (isUnknownAuthority(complaint)) {
    return (
      "The registry's certificate is signed by an authority that Node does not know, as behind a proxy that opens " +
      "encrypted connections. Name the authority's certificate: NODE_EXTRA_CA_CERTS=FILE in the environment, or " +
      "npm config set cafile FILE."
    );
  }
  if (NO_ROOM.test(complaint)) {
    return (
      `A disk is full: npm needs some 60 MB in the folder for temporary files, ${tmpdir()}, and as much in its own cache ` +
      `(npm config get cache). Make room, or name other folders in ${TEMPORARY_VARIABLE} and npm_config_cache.`
    );
  }
  if (NOT_WRITABLE.test(complaint)) {
    return "npm must not write to a folder that it needs, which it names below: make it writable.";
  }
  return NO_CONNECTION.test(complaint)
    ? networkMend([], env)
    : "Check that npm is installed and the network is up.";
}
