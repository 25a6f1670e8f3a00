/**
 * Which files may make up a relay's web pages: the folder `web` of the project (the defaults), and the one in a relay
 * folder, whose files stand in for those of the same path. Asked by the builder, the device (life/import-relay.ts) and
 * services/web, so that what one takes the next one takes too. Pure.
 */

/** Folder within the relay folder. */
export const webFolderName = "web";

/**
 * Small enough for a device with 512 MB, where all of it lies in memory, and for a page that loads over a bad line: a
 * logo, some pictures, a font.
 */
export const webFileLimits = { files: 64, fileBytes: 524_288, totalBytes: 2_097_152 } as const;

/** Media types by the ending of a name (RFC 9110 §8.3); null: read by the service, never sent as it is. */
const mediaTypes: Readonly<Record<string, string | null>> = {
  md: null,
  toml: null,
  html: null,
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  txt: "text/plain; charset=utf-8",
  svg: "image/svg+xml",
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  webp: "image/webp",
  gif: "image/gif",
  ico: "image/x-icon",
  woff2: "font/woff2",
};

/** A file, or a file in the folder of a language (RFC 5646, as a browser sends it). Lower case: so does FAT. */
const pathPattern = /^(?:[a-z]{2,3}(?:-[a-z0-9]{2,8})?\/)?[a-z0-9][a-z0-9._-]{0,63}$/;

/**
 * First parts of addresses at which the web service itself answers (services/web: sign-up, mail by HTTPS, whom to tell
 * of a weakness); a page or file there could never be seen.
 */
const ownAddresses: readonly string[] = ["new", "mxdeliv", "security.txt"];

/** What people's computers leave behind in folders: hidden files, and two of Windows'. */
export function isLeftBehind(name: string): boolean {
  return name.startsWith(".") || /^(thumbs\.db|desktop\.ini)$/i.test(name);
}

/** Whether a file may have this path within the folder ("home.md", "de/home.md"; "/" on every system). */
export function isWebFilePath(path: string): boolean {
  return looksAllowed(path) && unusableWebPath(path) === undefined;
}

/** Why a path that looks like an allowed one cannot be used all the same; undefined when it can, or looks otherwise. */
export function unusableWebPath(path: string): string | undefined {
  if (!looksAllowed(path)) return undefined;
  const [language, name] = path.includes("/") ? path.split("/") : [undefined, path];
  if (language !== undefined && !isLanguageTag(language))
    return `“${language}” names no language as browsers do (de, pt-br, zh-hant)`;
  // "en/rules.md" is shown at /rules as well as at /en/rules; what is sent as it is has the address of its path.
  const addresses = [language ?? path, ...(name?.endsWith(".md") ? [name.slice(0, -".md".length)] : [])];
  const own = addresses.find((address) => ownAddresses.includes(address));
  return own === undefined ? undefined : `at /${own} the relay itself answers: choose another name`;
}

function looksAllowed(path: string): boolean {
  return pathPattern.test(path) && Object.hasOwn(mediaTypes, endingOf(path));
}

/** Whether numbers can be written in it: Intl throws RangeError for what RFC 5646 §2.1 has no place for ("en-v2"). */
function isLanguageTag(tag: string): boolean {
  try {
    return Intl.getCanonicalLocales(tag).length === 1;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** What a path must look like, for error texts. */
export const allowedWebFiles =
  `lower-case names like home.md or de/home.md, ending with ${Object.keys(mediaTypes).join(", ")}; at most ` +
  `${webFileLimits.files} files, each of ${webFileLimits.fileBytes} bytes and ${webFileLimits.totalBytes} together`;

/** The media type that a file is sent as; null when it is not. The path must be allowed. */
export function mediaTypeOf(path: string): string | null {
  return mediaTypes[endingOf(path)] ?? null;
}

/** What is too much about these files, by size in bytes; undefined when nothing is. */
export function tooMuchWeb(sizes: ReadonlyMap<string, number>): string | undefined {
  if (sizes.size > webFileLimits.files) {
    return `holds ${sizes.size} files, at most ${webFileLimits.files} are allowed`;
  }
  for (const [path, size] of sizes) {
    if (size > webFileLimits.fileBytes) {
      return `holds ${path} of ${size} bytes, at most ${webFileLimits.fileBytes} are allowed`;
    }
  }
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  if (total > webFileLimits.totalBytes) {
    return `holds ${total} bytes, at most ${webFileLimits.totalBytes} are allowed`;
  }
  return undefined;
}

function endingOf(path: string): string {
  return path.slice(path.lastIndexOf(".") + 1);
}
