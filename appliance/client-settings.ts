/** The settings of [clients]: what Delta Chat is told beside mail, in IMAP METADATA. A part of relay-settings.ts. */
import * as z from "zod";
import { settingNotes } from "./setting-notes.ts";

/** Every phone fetches the versions at each connection; those of all known apps take a third of it. In characters. */
const MAX_VERSIONS_LENGTH = 8_000;
/** The core shows no more of one (sanitize_version_string in its src/appversions.rs). */
const MAX_VERSION_LENGTH = 16;
const MAX_URL_LENGTH = 500;

/** Of an Iroh relay only the name and the port count: clients ask for paths of their own there (RelayUrl of Iroh). */
function isRelayUrl(text: string): boolean {
  const url = URL.parse(text);
  if (text === "") return true;
  // As it stands: blanks, letters of other scripts and the like would be written in another way.
  return (
    url?.protocol === "https:" && url.href === `https://${url.host}/` && [url.href, url.origin].includes(text)
  );
}

function isDownloadUrl(text: string): boolean {
  const url = URL.parse(text);
  return url?.protocol === "https:" && url.href === text && url.username + url.password === "";
}

/** The core takes the first of equal names and never sees the others. */
const areDifferent = (names: readonly string[]) => new Set(names).size === names.length;

const name = (key: string) =>
  z.string().regex(/^[!-~]{1,40}$/, { error: `${key} is a text of 1 to 40 ASCII characters` });

/** One wrong value and the core takes none (AppVersionInfo in its src/appversions.rs); a misspelt key is left out. */
const source = z.strictObject(
  {
    sourceId: name("sourceId"),
    versionInteger: z.int({ error: "versionInteger is a whole number" }).min(0).max(0xffff_ffff),
    versionString: z.string().regex(new RegExp(`^[A-Za-z0-9.-]{1,${MAX_VERSION_LENGTH}}$`), {
      error: `versionString is a text of 1 to ${MAX_VERSION_LENGTH} letters, digits, “.” and “-”`,
    }),
    downloadUrl: z.string().max(MAX_URL_LENGTH).refine(isDownloadUrl, {
      error: "downloadUrl is a link that begins with https://",
    }),
  },
  { error: "a source has sourceId, versionInteger, versionString and downloadUrl" },
);
const client = z.strictObject(
  {
    clientId: name("clientId"),
    sources: z
      .array(source, { error: "sources is a list" })
      .refine((sources) => areDifferent(sources.map(({ sourceId }) => sourceId)), {
        error: "two sources have the same sourceId",
      }),
  },
  { error: "a client has clientId and sources" },
);
const appVersions = z.strictObject(
  {
    clients: z
      .array(client, { error: "clients is a list" })
      .refine((clients) => areDifferent(clients.map(({ clientId }) => clientId)), {
        error: "two clients have the same clientId",
      }),
  },
  { error: "it has “clients” and nothing else" },
);

/** The same in one line of ASCII; a problem is a text. */
function compactVersions(text: string): { value: string } | { problem: string } {
  if (text === "") return { value: "" };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { problem: `it is no JSON: ${(error as Error).message}` };
  }
  const read = appVersions.safeParse(json);
  if (read.success) return { value: JSON.stringify(read.data) };
  const { path, message } = read.error.issues[0]!;
  return { problem: `${path.length === 0 ? "" : `at ${path.join(".")}: `}${message}` };
}

export const clientSettings = z
  .object({
    irohRelayUrl: z
      .stringFormat("iroh relay", isRelayUrl)
      .max(MAX_URL_LENGTH)
      .default("")
      .register(settingNotes, {
        comment:
          "The Iroh relay by which apps within chats reach each other at once. Empty: whichever one Delta Chat knows.",
        allowed: "a link like “https://iroh.example.org”, without a path, or an empty text",
      }),
    appVersions: z
      .string()
      .max(MAX_VERSIONS_LENGTH)
      .default("")
      .transform((text, context) => {
        const read = compactVersions(text);
        if ("value" in read) return read.value;
        context.addIssue({
          code: "custom",
          message: `${read.problem}; docs/running.md shows how it is written`,
        });
        return z.NEVER;
      })
      .register(settingNotes, {
        comment:
          "Newest versions of apps, for which they show a hint: JSON (docs/running.md). Empty: they are told of none.",
        allowed: `a text of JSON of at most ${MAX_VERSIONS_LENGTH} characters, or an empty text`,
      }),
  })
  .prefault({});
