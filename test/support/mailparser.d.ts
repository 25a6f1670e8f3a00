/** What the tests use of mailparser, which comes without types of its own. */
declare module "mailparser" {
  /** Parses a whole message (RFC 5322, MIME); `attachments` in their order. */
  export function simpleParser(
    source: string | Uint8Array,
    options?: { skipTextToHtml?: boolean },
  ): Promise<{
    /** Structured fields by lower-case name: for content-type `{ value, params }`. */
    headers: ReadonlyMap<string, unknown>;
    attachments: readonly {
      /** Guessed by the file name where the header says application/octet-stream. */
      contentType: string;
      content: Buffer;
      headers: ReadonlyMap<string, unknown>;
    }[];
    text?: string;
    html: string | false;
    from?: { value: readonly { address?: string; name: string; group?: unknown }[] };
  }>;
}
