/**
 * What a request and an answer are to everything behind the wire: pages, sign-up, delivery. http1.ts and http2.ts
 * make the one and send the other; router.ts finds the route. RFC 9110.
 */

export type WebHeaders = Readonly<{
  /** The value of the first field of that name (lower case). */
  get(name: string): string | undefined;
  /** The values of all fields of that name, in their order. */
  all(name: string): readonly string[];
}>;

/** All of a request that is known before its body. */
export type RequestHead = Readonly<{
  /** HEAD is GET here; the wire leaves out the body. */
  method: string;
  /** Percent-decoded, beginning with "/". */
  path: string;
  query: URLSearchParams;
  /** Lower case, without port; "" when the client named none. */
  host: string;
  headers: WebHeaders;
  /** IPv4 or IPv6 address; "" when it is not known. */
  client: string;
  /** Whether it came over TLS. */
  isSecure: boolean;
}>;

export type WebRequest = RequestHead &
  Readonly<{
    /** What "*" in the route's path stood for. */
    parameter: string;
    /** The bytes of the body as they come, at most the route's maxBodyBytes. To be read once; throws HttpProblem. */
    body: AsyncIterable<Buffer>;
  }>;

export type Answer = Readonly<{
  status: number;
  headers?: Readonly<Record<string, string>>;
  body?: string | Uint8Array;
}>;

export type Handler = (request: WebRequest) => Answer | Promise<Answer>;

/** A refusal in the middle of a handler; becomes an answer with this status. `reason`: one line for a person. */
export class HttpProblem extends Error {
  override name = "HttpProblem";
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  constructor(status: number, reason: string, headers: Readonly<Record<string, string>> = {}) {
    super(reason);
    this.status = status;
    this.headers = headers;
  }
}

/** The whole body of a request. Throws HttpProblem when it is too large or too slow. */
export async function readWholeBody(request: WebRequest): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request.body) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** An answer of plain text. */
export function textAnswer(status: number, text: string, headers: Answer["headers"] = {}): Answer {
  return { status, headers: { "content-type": "text/plain; charset=utf-8", ...headers }, body: text };
}

/** An answer of JSON. */
export function jsonAnswer(status: number, value: unknown, headers: Answer["headers"] = {}): Answer {
  return { status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(value) };
}
