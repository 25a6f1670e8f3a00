/**
 * Brings one file with a known SHA-256 into the cache, from the first of several places that has it: written as it
 * comes, and continued where it broke off, also from another place. Called by image/packages/download.ts.
 */

import { HttpError, type HttpOptions, httpRequest, longerText, statusError, withTries } from "./http.ts";
import type { HttpAnswer } from "./http-client.ts";
import { openPart, type PartFile } from "./part-file.ts";
import { withoutLogin } from "./proxy.ts";

/** How often a file is fetched from one place when what was put together is wrong. */
const MAX_ROUNDS = 2;

export type WantedFile = Readonly<{
  /** Where it shall lie. */
  path: string;
  /** In bytes. */
  size: number;
  sha256: string;
}>;

export type FileOptions = HttpOptions &
  Readonly<{
    /** Told with the bytes that are there so far; `reused` of them were left by an ended build. */
    onBytes: (done: number, reused: number) => void;
  }>;

/** The file does not have the locked size or SHA-256 there. */
export class WrongFileError extends Error {
  override name = "WrongFileError";
}

export type SourceProblem = HttpError | WrongFileError;

/**
 * Undefined when the file is there, else what was wrong with each of the places, in their order.
 * Throws the signal's reason when that is aborted, and the system's errors of writing.
 */
export async function downloadFile(
  wanted: WantedFile,
  urls: readonly string[],
  options: FileOptions,
): Promise<SourceProblem[] | undefined> {
  await using part = await openPart(wanted.path, wanted.size);
  const reused = part.bytes();
  const onBytes = () => options.onBytes(part.bytes(), Math.min(reused, part.bytes()));
  onBytes();
  const problems: SourceProblem[] = [];
  for (const url of urls) {
    try {
      if (await downloadFrom(url, part, wanted, { ...options, onBytes })) return undefined;
      problems.push(
        new WrongFileError(`${withoutLogin(url)} is not the locked file (other size or SHA-256)`),
      );
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      problems.push(error);
    }
  }
  return problems;
}

/** False when the file there is another one. */
async function downloadFrom(
  url: string,
  part: PartFile,
  wanted: WantedFile,
  options: HttpOptions & { onBytes: () => void },
): Promise<boolean> {
  for (let round = 1; round <= MAX_ROUNDS; round++) {
    let pieces = part.bytes() > 0 ? 1 : 0;
    await withTries(options, () => {
      pieces++;
      return continuePart(url, part, wanted.size, options);
    });
    const outcome = await part.finish(wanted.sha256);
    if (outcome === "done") return true;
    // Of several pieces, which may be of different files: once more, all of it in one.
    if (outcome === "wrong" && pieces === 1) return false;
  }
  return false;
}

/**
 * One request for what is missing. Without If-Range: what decides is the SHA-256 of the whole, and a beginning may
 * come from another server, whose validators mean nothing to this one.
 */
async function continuePart(
  url: string,
  part: PartFile,
  size: number,
  options: HttpOptions & { onBytes: () => void },
): Promise<void> {
  const from = part.bytes();
  if (from === size) return;
  const shown = withoutLogin(url);
  /** Some servers compress what they are asked not to; others say so of files that are compressed themselves. */
  let encoding: string | undefined;
  await httpRequest(url, options, from > 0 ? { Range: `bytes=${from}-` } : {}, async (answer) => {
    await prepare(answer);
    return async (piece) => {
      if (part.bytes() + piece.length > size) {
        await part.restart();
        throw new HttpError(longerText(url, size), "wrong");
      }
      await part.append(piece);
      options.onBytes();
    };
  });
  if (part.bytes() < size && encoding !== undefined) {
    await part.restart();
    throw otherSize(undefined);
  }
  if (part.bytes() < size) {
    throw new HttpError(`${shown}: the answer ended after ${part.bytes()} of ${size} bytes`, "broken");
  }

  async function prepare({ status, headers }: HttpAnswer): Promise<void> {
    const length = headers["content-length"];
    encoding = headers["content-encoding"]?.replace(/^identity$/i, "") || undefined;
    if (status === 206 && headers["content-range"]?.startsWith(`bytes ${from}-`) && from > 0) {
      // RFC 9110 §14.4: first-last/complete; "*" when the server does not know how long the whole is.
      const complete = headers["content-range"].split("/")[1];
      if (complete === String(size) || complete === "*") return;
      throw otherSize(complete);
    }
    if (status === 206 || status === 416) {
      await part.restart();
      // The next request asks for the whole.
      const what = status === 206 ? "answered with another part than was asked for" : "answered 416";
      throw new HttpError(`${shown} ${what}`, "broken", { status });
    }
    if (status !== 200) throw statusError(url, status);
    if (length !== undefined && Number(length) !== size) throw otherSize(length);
    await part.restart(); // the server sends the whole: it knows no ranges
  }

  function otherSize(there: string | undefined): HttpError {
    const what =
      encoding === undefined
        ? `has ${there} bytes, not the expected ${size}`
        : `came compressed (${encoding}), which is not what was asked for`;
    return new HttpError(`${shown} ${what}`, "wrong");
  }
}
