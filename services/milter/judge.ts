/**
 * Judges, while a message streams by, whether it is end-to-end encrypted (RFC 3156 §4: multipart/encrypted with
 * exactly two parts) or one of the two requests that begin a secure-join, which cannot be. Memory does not grow
 * with the message, and after the first thing that is wrong the rest costs nothing. Called by both directions.
 */
import { createArmorReader } from "./armor.ts";
import { boundaryOf, type ContentType, isPlainEncoding, parseContentType } from "./mime-header.ts";
import {
  createMultipartReader,
  type MultipartReader,
  type PartFields,
  type PartReader,
} from "./multipart.ts";
import { createPacketSequence } from "./openpgp.ts";

export type Verdict =
  | Readonly<{ kind: "encrypted" | "secure-join request" }>
  /** The reason is for the log. */
  | Readonly<{ kind: "unencrypted"; reason: string }>;

export type Judge = Readonly<{
  write(piece: Buffer): void;
  /** True when nothing that follows can make the message acceptable. */
  isHopeless(): boolean;
  end(): Verdict;
}>;

export type JudgeOptions = Readonly<{
  /** The values of all top-level fields of a name (lower case). */
  values(name: string): string[];
  /** Why two programs could see two different top-level headers, or null (header-field.ts). */
  problem(): string | null;
  allowArmorVersion: boolean;
}>;

/** The body of a secure-join request or of the version part, white space and line ends included, in bytes. */
const MAX_SHORT_BODY_BYTES = 200;

export function createJudge(options: JudgeOptions): Judge {
  const plan = planFor(options);
  let problem = typeof plan === "string" ? plan : null;
  let parts = 0;
  const reader: MultipartReader | null =
    typeof plan === "string"
      ? null
      : createMultipartReader(plan.boundary, (index, fields) => {
          parts = index + 1;
          return index < plan.openers.length ? plan.openers[index]!(fields) : "more parts than allowed";
        });
  return {
    write(piece) {
      if (problem === null && reader !== null) problem = reader.write(piece);
    },
    isHopeless: () => problem !== null,
    end() {
      if (typeof plan === "string") return { kind: "unencrypted", reason: plan };
      problem ??= reader!.end();
      if (problem === null && parts !== plan.openers.length) problem = "fewer parts than needed";
      return problem === null ? { kind: plan.kind } : { kind: "unencrypted", reason: problem };
    },
  };
}

type Plan = Readonly<{
  kind: "encrypted" | "secure-join request";
  boundary: string;
  /** How to read each part; there must be exactly as many parts. */
  openers: readonly ((fields: PartFields) => PartReader | string)[];
}>;

/** What the message's header says it is; a text when it cannot be acceptable. */
function planFor({ values, problem, allowArmorVersion }: JudgeOptions): Plan | string {
  const headerProblem = problem();
  if (headerProblem !== null) return headerProblem;
  const contentType = singleContentType(values);
  if (contentType === null) return "no valid Content-Type";
  const isEncrypted = contentType.type === "multipart/encrypted";
  const isRequest = values("secure-join").length === 1 && /^v[cg]-request$/.test(values("secure-join")[0]!);
  if (!isEncrypted && !(isRequest && contentType.type.startsWith("multipart/"))) {
    return `the message is ${contentType.type}`;
  }
  const boundary = boundaryOf(contentType);
  if (boundary === null) return "no valid boundary";
  if (!isPlainEncoding(values("content-transfer-encoding"))) return "a transfer encoding on a multipart";
  return isEncrypted
    ? {
        kind: "encrypted",
        boundary,
        openers: [versionPart, (fields) => messagePart(fields, allowArmorVersion)],
      }
    : { kind: "secure-join request", boundary, openers: [requestPart] };
}

function singleContentType(values: (name: string) => string[]): ContentType | null {
  const all = values("content-type");
  return all.length === 1 ? parseContentType(all[0]!) : null;
}

/** RFC 3156 §4: "Version: 1". */
function versionPart(fields: PartFields): PartReader | string {
  if (singleContentType(fields.values)?.type !== "application/pgp-encrypted") {
    return "the first part is not application/pgp-encrypted";
  }
  return shortBody(fields, /^Version: 1$/, "the first part is not “Version: 1”");
}

function requestPart(fields: PartFields): PartReader | string {
  const types = fields.values("content-type");
  // RFC 2045 §5.2: a part without type is text/plain.
  if (types.length > 0 && singleContentType(fields.values)?.type !== "text/plain")
    return "the part is not text/plain";
  return shortBody(fields, /^secure-join: v[cg]-request$/i, "the part is not a secure-join request");
}

function messagePart(fields: PartFields, allowVersion: boolean): PartReader | string {
  if (singleContentType(fields.values)?.type !== "application/octet-stream") {
    return "the second part is not application/octet-stream";
  }
  if (!isPlainEncoding(fields.values("content-transfer-encoding")))
    return "a transfer encoding on the second part";
  const packets = createPacketSequence();
  const armor = createArmorReader({ allowVersion, onBytes: packets.push });
  return { line: armor.line, end: () => armor.end() ?? packets.end() };
}

/** Reads a part whose body must be one line that matches `pattern`, with white space around it. */
function shortBody(fields: PartFields, pattern: RegExp, problem: string): PartReader | string {
  const encodings = fields.values("content-transfer-encoding");
  // These bodies are the same in quoted-printable: they hold neither "=" nor anything beyond ASCII.
  if (!isPlainEncoding(encodings) && !/^quoted-printable$/i.test(encodings.join())) return problem;
  let bytes = 0;
  let isFound = false;
  return {
    line({ buffer, start, end }) {
      bytes += end - start + 1;
      if (bytes > MAX_SHORT_BODY_BYTES) return problem;
      // Only what mail calls white space, not all that Unicode does.
      const text = buffer.toString("latin1", start, end).replace(/^[ \t]+|[ \t]+$/g, "");
      if (text === "") return null;
      if (isFound || !pattern.test(text)) return problem;
      isFound = true;
      return null;
    },
    end: () => (isFound ? null : problem),
  };
}
