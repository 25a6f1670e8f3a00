/**
 * Fetches a suite's package index from a mirror and proves that it is Debian's: InRelease signed by a pinned
 * key, of the right suite, not expired, and the index with the size and SHA-256 that stand in it.
 * Called by image/packages/refresh.ts. Format: https://wiki.debian.org/DebianRepository/Format
 */
import { createHash } from "node:crypto";
import { type PublicKey, readCleartextMessage, verify } from "openpgp";
import { decompressXz } from "../formats/xz.ts";
import type { Architecture } from "../spec.ts";
import { parseStanzas, type Stanza } from "./deb822.ts";
import { HttpError, httpGet, type Network } from "./http.ts";
import { archiveKeys } from "./keys.ts";
import type { ArchiveKind } from "./lock.ts";
import { networkMend } from "./network-mend.ts";
import { withoutLogin } from "./proxy.ts";

/** InRelease of Debian 13 has about 140 kB; in bytes. */
const MAX_RELEASE_BYTES = 4 << 20;
/** An index may be dated this far ahead of the clock, in seconds; further means that the clock is wrong. */
const MAX_CLOCK_LAG = 86_400;

/** One suite of an archive and the components that are used of it. */
export type Suite = Readonly<{ archive: ArchiveKind; codename: string; components: readonly string[] }>;

export type Release = Readonly<{
  suite: Suite;
  /** In seconds since 1970. */
  date: number;
  /** Size in bytes and SHA-256 of the suite's files, by their paths below dists/<suite>/. */
  files: ReadonlyMap<string, Readonly<{ size: number; sha256: string }>>;
}>;

/** A mirror's index is not what Debian signed, or is out of date. Nothing of it may be used. */
export class ReleaseError extends Error {
  override name = "ReleaseError";
}

type Source = Readonly<{
  /** The mirror's base URL for the suite's archive, without a slash at the end. */
  mirror: string;
  /** Seconds since 1970. */
  now: number;
  network?: Network | undefined;
  signal?: AbortSignal | undefined;
  /** The pinned Debian keys unless given. */
  keys?: readonly PublicKey[] | undefined;
}>;

/**
 * The date of the index that the lock file was made from, in seconds since 1970; undefined when there is none.
 * An older one is genuine too, but going back to it would bring back what has been mended since.
 */
type LockedDate = number | undefined;

/** Fetches and proves a suite's InRelease. Throws ReleaseError. */
export async function fetchRelease(suite: Suite, source: Source, lockedDate: LockedDate): Promise<Release> {
  const url = `${source.mirror}/dists/${suite.codename}/InRelease`;
  const { network, signal } = source;
  const text = await httpGet(url, { network, signal, maxBytes: MAX_RELEASE_BYTES }).catch(unusable);
  const keys = source.keys ?? (await archiveKeys(suite.archive));
  const shown = withoutLogin(url);
  const stanza = await verifiedStanza(text.toString("utf8"), keys, shown);
  return readRelease(stanza, suite, { now: source.now, lockedDate }, shown);
}

/** In place of an HttpError one that says what to do; throws any other as it is. */
function unusable(error: unknown): never {
  if (!(error instanceof HttpError)) throw error;
  const mend =
    error.kind === "unreachable"
      ? `. ${networkMend([error])} Another mirror can be chosen with --mirror.`
      : "; choose another one with --mirror";
  throw new ReleaseError(`the Debian mirror cannot be used: ${error.message}${mend}`, { cause: error });
}

async function verifiedStanza(text: string, keys: readonly PublicKey[], url: string): Promise<Stanza> {
  const refuse = (problem: string, cause?: unknown) =>
    new ReleaseError(`${url} ${problem}; choose another mirror with --mirror`, { cause });
  let signedText: string;
  try {
    const message = await readCleartextMessage({ cleartextMessage: text });
    const { data, signatures } = await verify({ message, verificationKeys: [...keys] });
    // Debian signs with the keys of two releases at once: one good signature by a pinned key is needed.
    await Promise.any(signatures.map(({ verified }) => verified));
    signedText = data;
  } catch (error) {
    throw refuse("is not signed by a pinned Debian archive key", error);
  }
  const [stanza, ...more] = parseStanzas(signedText);
  if (!stanza || more.length > 0) throw refuse("is not a Release file");
  return stanza;
}

/** Checks what a mirror could do with an old or another suite's genuine file; `url` is for error texts. Exported for tests. */
export function readRelease(
  stanza: Stanza,
  suite: Suite,
  { now, lockedDate }: Readonly<{ now: number; lockedDate: LockedDate }>,
  url: string,
): Release {
  if (stanza.get("codename") !== suite.codename) {
    throw new ReleaseError(`${url} is the index of ${stanza.get("codename")}, not of ${suite.codename}`);
  }
  const date = seconds(stanza.get("date"), `Date in ${url}`);
  if (date > now + MAX_CLOCK_LAG) {
    throw new ReleaseError(`${url} is dated ${stanza.get("date")}, in the future: set this computer's clock`);
  }
  // Stable releases have no Valid-Until; updates, backports and security have one of a week.
  const validUntil = stanza.get("valid-until");
  if (validUntil !== undefined && seconds(validUntil, `Valid-Until in ${url}`) < now) {
    throw new ReleaseError(
      `${url} expired on ${validUntil}: the mirror is out of date; choose another one with --mirror`,
    );
  }
  if (lockedDate !== undefined && date < lockedDate) {
    const locked = new Date(lockedDate * 1000).toUTCString();
    throw new ReleaseError(
      `${url} is dated ${stanza.get("date")}: this mirror is older than the lock file, whose packages are of ` +
        `${locked}; choose another mirror with ${suite.archive === "debian" ? "--mirror" : "DEBIAN_SECURITY_MIRROR"}`,
    );
  }
  const files = new Map<string, { size: number; sha256: string }>();
  for (const line of stanza.get("sha256")?.split("\n") ?? []) {
    const [sha256, size, path] = line.trim().split(/\s+/);
    if (sha256 && size && path) files.set(path, { size: Number(size), sha256 });
  }
  return { suite, date, files };
}

/**
 * Fetches, proves and unpacks the Packages index of one component and architecture.
 * Throws ReleaseError.
 */
export async function fetchPackagesIndex(
  release: Release,
  component: string,
  architecture: Architecture,
  source: Source,
): Promise<string> {
  const { codename } = release.suite;
  const path = `${component}/binary-${architecture}/Packages.xz`;
  const expected = release.files.get(path);
  const base = `${source.mirror}/dists/${codename}`;
  if (!expected) throw new ReleaseError(`${withoutLogin(base)}/InRelease has no ${path}`);
  const { network, signal } = source;
  const options = { network, signal, maxBytes: expected.size };
  // By its hash the index is there even while the mirror is being renewed; small mirrors may not offer it.
  const byHash = `${component}/binary-${architecture}/by-hash/SHA256/${expected.sha256}`;
  const bytes = await httpGet(`${base}/${byHash}`, options)
    .catch((error: unknown) => {
      if (error instanceof HttpError && error.status === 404) return httpGet(`${base}/${path}`, options);
      throw error;
    })
    .catch(unusable);
  if (createHash("sha256").update(bytes).digest("hex") !== expected.sha256) {
    throw new ReleaseError(
      `${withoutLogin(base)}/${path} is not the file that InRelease tells of: the mirror is damaged or being renewed; ` +
        "try again in some minutes or choose another one with --mirror",
    );
  }
  return new TextDecoder().decode(await decompressXz(bytes));
}

/** RFC 5322 dates as in "Sat, 12 Sep 2026 07:55:41 UTC". */
function seconds(text: string | undefined, what: string): number {
  const time = Date.parse(text ?? "");
  if (Number.isNaN(time)) throw new ReleaseError(`${what} is not a date: "${text}"`);
  return Math.floor(time / 1000);
}
