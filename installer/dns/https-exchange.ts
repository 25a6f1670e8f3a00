/**
 * One question to a resolver by HTTPS (RFC 8484), for networks where somebody else answers on port 53 or nobody does.
 * Called by resolver.ts. I/O: one request.
 */
import { DnsFormatError } from "../../appliance/dns/wire.ts";
import { NoAnswerError } from "./exchange.ts";
import {
  type DnsAnswer,
  type DnsQuestion,
  type QuestionOptions,
  questionBytes,
  readAnswer,
} from "./message.ts";

/** From the connection to the whole answer; the first question makes the connection. */
const ANSWER_LIMIT_MS = 4000;
/** A DNS message has at most 65,535 bytes (RFC 1035 §4.2.2). */
const MAX_MESSAGE_BYTES = 65_535;
/** RFC 8484 §4.1: always the same, so that answers can be cached. */
const MESSAGE_ID = 0;
const MESSAGE_TYPE = "application/dns-message";

/** Throws NoAnswerError, and the signal's reason. */
export async function askByHttps(
  url: string,
  question: DnsQuestion,
  options: QuestionOptions,
  signal?: AbortSignal,
  fetchAnswer: typeof fetch = fetch,
): Promise<DnsAnswer> {
  signal?.throwIfAborted();
  const limit = AbortSignal.timeout(ANSWER_LIMIT_MS);
  try {
    const response = await fetchAnswer(url, {
      method: "POST",
      headers: { "content-type": MESSAGE_TYPE, accept: MESSAGE_TYPE },
      body: new Uint8Array(questionBytes(MESSAGE_ID, question, { ...options, recursion: true })),
      redirect: "error",
      signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    });
    const type = response.headers.get("content-type") ?? "";
    if (response.status !== 200 || !type.startsWith(MESSAGE_TYPE)) {
      await response.body?.cancel();
      throw new NoAnswerError(`${url} answers with status ${response.status} and type ${type || "(none)"}`);
    }
    return readAnswer(await readBody(response, url), MESSAGE_ID, question);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof NoAnswerError) throw error;
    const reason =
      error instanceof DnsFormatError
        ? `answers with ${error.message}`
        : `cannot be asked: ${wordsOf(error)}`;
    throw new NoAnswerError(`${url} ${reason}`, { cause: error });
  }
}

async function readBody(response: Response, url: string): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += part.length;
    if (length > MAX_MESSAGE_BYTES) throw new NoAnswerError(`${url} answers without end`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** `fetch` hides the reason in the cause. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
