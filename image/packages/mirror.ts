/**
 * Chooses the Debian mirror: the command line, else the environment, else what the host's own apt uses, else a
 * built-in default. Called by the commands that fetch packages. It need not be trusted: everything fetched is
 * checked against the lock file or against Debian's signatures.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseStanzas } from "./deb822.ts";
import type { ArchiveKind } from "./lock.ts";

/** Base URLs without a slash at the end. */
export type Mirrors = Readonly<Record<ArchiveKind, string>>;

const DEFAULTS: Mirrors = {
  debian: "https://ftp.debian.org/debian",
  security: "https://security.debian.org/debian-security",
};

/** What was given as a mirror is no URL of one. */
export class MirrorError extends Error {
  override name = "MirrorError";
}

export type MirrorOptions = Readonly<{
  /** From --mirror: the archive's root, for example https://ftp.halifax.example/debian. */
  mirror?: string | undefined;
  env: Readonly<Record<string, string | undefined>>;
  /** Where the host's apt keeps its settings, /etc/apt unless given. */
  aptDirectory?: string;
}>;

/**
 * The mirrors to use. Each archive is decided for itself: one mirror need not carry the security archive.
 * Throws MirrorError when a given URL is not http or https.
 */
export async function chooseMirrors({ mirror, env, aptDirectory }: MirrorOptions): Promise<Mirrors> {
  const host = await hostMirrors(aptDirectory ?? "/etc/apt");
  return {
    debian:
      given(mirror, "--mirror") ??
      given(env.DEBIAN_MIRROR, "DEBIAN_MIRROR") ??
      host.debian ??
      DEFAULTS.debian,
    security:
      given(env.DEBIAN_SECURITY_MIRROR, "DEBIAN_SECURITY_MIRROR") ?? host.security ?? DEFAULTS.security,
  };
}

function given(url: string | undefined, from: string): string | undefined {
  if (url === undefined || url === "") return undefined;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new MirrorError(
      `${from} is "${url}", but a mirror is an http or https URL such as https://ftp.debian.org/debian`,
    );
  }
  return url.replace(/\/+$/, "");
}

/** What the host's apt sources say (sources.list(5)); nothing on systems that are not Debian. */
async function hostMirrors(directory: string): Promise<Partial<Mirrors>> {
  const urls: string[] = [];
  for (const file of await sourceFiles(directory)) {
    let text: string;
    try {
      text = await readFile(file, "utf8");
    } catch {
      continue; // no such file, or not for this user: then the host gives no mirror
    }
    urls.push(...(file.endsWith(".sources") ? urlsOfStanzas(text) : urlsOfLines(text)));
  }
  const debian = urls.find((url) => archiveOf(url) === "debian")?.replace(/\/+$/, "");
  const security = urls.find((url) => archiveOf(url) === "security")?.replace(/\/+$/, "");
  return { ...(debian ? { debian } : {}), ...(security ? { security } : {}) };
}

async function sourceFiles(directory: string): Promise<string[]> {
  const parts = join(directory, "sources.list.d");
  const names = await readdir(parts).catch(() => []); // absent on systems without apt
  const files = names.filter((name) => /\.(list|sources)$/.test(name)).sort();
  return [join(directory, "sources.list"), ...files.map((name) => join(parts, name))];
}

function urlsOfStanzas(text: string): string[] {
  try {
    return parseStanzas(text)
      .filter((stanza) => stanza.get("enabled")?.toLowerCase() !== "no")
      .flatMap((stanza) => stanza.get("uris")?.split(/\s+/) ?? []);
  } catch {
    return []; // apt itself complains about a malformed file; here it only means one mirror less
  }
}

function urlsOfLines(text: string): string[] {
  return text.split("\n").flatMap((line) => /^\s*deb\s+(?:\[[^\]]*\]\s*)?(\S+)/.exec(line)?.[1] ?? []);
}

/** Mirrors keep Debian's layout and names; archives of other systems (Ubuntu, Raspberry Pi OS) do not count. */
function archiveOf(url: string): ArchiveKind | undefined {
  if (!URL.canParse(url)) return undefined;
  const { protocol, hostname, pathname } = new URL(url);
  if (!/^https?:$/.test(protocol) || /raspberrypi|raspbian/.test(hostname)) return undefined;
  const path = pathname.replace(/\/+$/, "");
  if (path.endsWith("/debian-security") || hostname === "security.debian.org") return "security";
  return path.endsWith("/debian") ? "debian" : undefined;
}
