/**
 * Answers a certificate authority that checks our name (RFC 8555 §8.3): services/certificates lays a file named like
 * the token. Over plain HTTP, at any of the relay's names. Called by site.ts.
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { HttpProblem, textAnswer, type WebRequest } from "./exchange.ts";
import type { Routes } from "./router.ts";

/** RFC 8555 §8.3: base64url, at least 128 bits. No such name leads to another directory. */
const tokenPattern = /^[A-Za-z0-9_-]{20,128}$/;
/** A token, a dot and a thumbprint of 43 characters. */
const maxAnswerBytes = 256;

export function acmeChallengeRoutes(directory: string): Routes {
  const answer = async ({ parameter }: WebRequest) => {
    const content = tokenPattern.test(parameter) ? await readShort(join(directory, parameter)) : undefined;
    if (content === undefined) throw new HttpProblem(404, "there is no such challenge");
    return textAnswer(200, content, {
      "content-type": "application/octet-stream",
      "cache-control": "no-store",
    });
  };
  return { "/.well-known/acme-challenge/*": { GET: answer } };
}

async function readShort(path: string): Promise<string | undefined> {
  // A link may lead anywhere, and none belongs there.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ELOOP") return undefined;
      throw error;
    },
  );
  if (file === undefined) return undefined;
  try {
    const { bytesRead, buffer } = await file.read({ buffer: Buffer.alloc(maxAnswerBytes) });
    return buffer.toString("latin1", 0, bytesRead);
  } finally {
    await file.close();
  }
}
