/**
 * Chooses the Debian mirror: the command line, else the environment, else what the host's own apt uses, else a
 * built-in default. Called by the commands that fetch packages. It need not be trusted: everything fetched is
 * checked against the lock file or against Debian's signatures.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseStanzas } from "./deb822.ts";
import type { ArchiveKind } from "./lock.ts";
import { withoutLogin } from "./proxy.ts";

/** Base URLs without a slash at the end, one for each archive. */
export type Mirrors = Readonly<Record<ArchiveKind, string>> &
  Readonly<{
    /** Who says so, for error texts: "the mirror given by --mirror". */
    from?: Readonly<Record<ArchiveKind, string>>;
    /** Who asked for nothing gets what the host's mirror lacks from here. */
    further?: Readonly<Partial<Record<ArchiveKind, string>>>;
  }>;

/** A mirror to ask. */
export type Place = Readonly<{ url: string; from: string | undefined }>;

const DEFAULTS: Readonly<Record<ArchiveKind, string>> = {
  debian: "https://ftp.debian.org/debian",
  security: "https://security.debian.org/debian-security",
};
/** Releases whose hosts' mirrors may still be there, and what belongs to a release. */
const PARTS = "([-/](?:updates|security|backports|backports-sloppy|proposed-updates))?";
const CODENAMES = new RegExp(`^(?:buster|bullseye|bookworm|trixie|forky|duke|sid)${PARTS}$`);
const ALIASES = new RegExp(`^(?:oldoldstable|oldstable|stable|testing|unstable)${PARTS}$`);
const FROM_DEFAULTS = "Homing's default mirror";

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
  const choose = (archive: ArchiveKind, ...gifts: (Place | undefined)[]): Place =>
    gifts.find((one) => one !== undefined) ??
    host[archive] ?? { url: DEFAULTS[archive], from: FROM_DEFAULTS };
  const debian = choose("debian", given(mirror, "--mirror"), given(env.DEBIAN_MIRROR, "DEBIAN_MIRROR"));
  const security = choose("security", given(env.DEBIAN_SECURITY_MIRROR, "DEBIAN_SECURITY_MIRROR"));
  return {
    debian: debian.url,
    security: security.url,
    from: { debian: debian.from!, security: security.from! },
    further: {
      ...(debian === host.debian && { debian: DEFAULTS.debian }),
      ...(security === host.security && { security: DEFAULTS.security }),
    },
  };
}

/** Where to ask for what is in `archive`, in this order. */
export function placesOf({ from, further, ...mirrors }: Mirrors, archive: ArchiveKind): Place[] {
  const first = { url: mirrors[archive], from: from?.[archive] };
  const second = further?.[archive];
  return second === undefined || second === first.url
    ? [first]
    : [first, { url: second, from: FROM_DEFAULTS }];
}

function given(url: string | undefined, from: string): Place | undefined {
  if (url === undefined || url === "") return undefined;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new MirrorError(
      `${from} is "${withoutLogin(url)}", but a mirror is an http or https URL such as https://ftp.debian.org/debian`,
    );
  }
  return { url: withoutSlash(url), from: `the mirror given by ${from}` };
}

/** A line of the host's apt sources. */
type AptSource = Readonly<{
  url: string;
  suites: readonly string[];
  components: readonly string[];
  /** Whose signatures it takes; empty for those of all keys that apt knows. */
  signedBy: string;
}>;

/** What the host's apt sources say (sources.list(5)); nothing on systems that are not Debian. */
async function hostMirrors(directory: string): Promise<Partial<Record<ArchiveKind, Place>>> {
  const found: { source: AptSource; file: string }[] = [];
  for (const file of await sourceFiles(directory)) {
    let text: string;
    try {
      text = await readFile(file, "utf8");
    } catch {
      continue; // no such file, or not for this user: then the host gives no mirror
    }
    const sources = file.endsWith(".sources") ? sourcesOfStanzas(text) : sourcesOfLines(text);
    found.push(...sources.map((source) => ({ source, file })));
  }
  const all = found.map(({ source }) => source);
  const place = (archive: ArchiveKind): Place | undefined => {
    const one = found.find(({ source }) => archiveOf(source.url) === archive && isDebian(source, all));
    return one && { url: withoutSlash(one.source.url), from: `the mirror named in ${one.file}` };
  };
  const [debian, security] = [place("debian"), place("security")];
  return { ...(debian && { debian }), ...(security && { security }) };
}

async function sourceFiles(directory: string): Promise<string[]> {
  const parts = join(directory, "sources.list.d");
  const names = await readdir(parts).catch(() => []); // absent on systems without apt
  const files = names.filter((name) => /\.(list|sources)$/.test(name)).sort();
  return [join(directory, "sources.list"), ...files.map((name) => join(parts, name))];
}

function sourcesOfStanzas(text: string): AptSource[] {
  try {
    return parseStanzas(text).flatMap((stanza) => {
      const words = (name: string) => stanza.get(name)?.split(/\s+/).filter(Boolean) ?? [];
      if (stanza.get("enabled")?.toLowerCase() === "no" || !words("types").includes("deb")) return [];
      const [suites, components] = [words("suites"), words("components")];
      return words("uris").map((url) => ({
        url,
        suites,
        components,
        signedBy: stanza.get("signed-by") ?? "",
      }));
    });
  } catch {
    return []; // apt itself complains about a malformed file; here it only means one mirror less
  }
}

function sourcesOfLines(text: string): AptSource[] {
  return text.split("\n").flatMap((line) => {
    const [, options = "", url, suite, components] =
      /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]*)/.exec(line) ?? [];
    if (url === undefined || suite === undefined || components === undefined) return [];
    const signedBy = /(?:^|\s)signed-by=(\S+)/i.exec(options)?.[1] ?? "";
    return [{ url, suites: [suite], components: components.trim().split(/\s+/), signedBy }];
  });
}

/** Mirrors keep Debian's layout and names; archives of other systems (Ubuntu, Raspberry Pi OS) do not count. */
function archiveOf(url: string): ArchiveKind | undefined {
  if (!URL.canParse(url)) return undefined;
  const { protocol, hostname, pathname } = new URL(url);
  if (!/^https?:$/.test(protocol) || /raspberrypi|raspbian/.test(hostname)) return undefined;
  const path = withoutSlash(pathname);
  if (path.endsWith("/debian-security") || hostname === "security.debian.org") return "security";
  return path.endsWith("/debian") ? "debian" : undefined;
}

/**
 * Whether it is Debian itself. Others name their archives "debian" too: Docker and VirtualBox ("bookworm stable",
 * "bookworm contrib"), Yarn ("stable main"), and whoever signs with a key of their own. A host with another release of
 * Debian has a mirror that is good for ours, but archive.debian.org holds only releases that have ended.
 */
function isDebian({ url, suites, components, signedBy }: AptSource, all: readonly AptSource[]): boolean {
  const { hostname } = new URL(url);
  if (!components.includes("main") || hostname === "archive.debian.org") return false;
  if (signedBy !== "" && !/\bdebian-archive-[\w-]*keyring\b/.test(signedBy)) return false;
  if (suites.some((suite) => CODENAMES.test(suite))) return true;
  if (!suites.some((suite) => ALIASES.test(suite))) return false;
  // Anybody's archive has a "stable", but only Debian's has updates and security beside it.
  const beside = all
    .filter((one) => withoutSlash(one.url) === withoutSlash(url))
    .flatMap((one) => one.suites);
  return hostname.endsWith(".debian.org") || beside.some((suite) => ALIASES.exec(suite)?.[1] !== undefined);
}

function withoutSlash(url: string): string {
  return url.replace(/\/+$/, "");
}
