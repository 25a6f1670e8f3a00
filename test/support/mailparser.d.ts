/** What the tests use of mailparser, which comes without types of its own. */
declare module "mailparser" {
  /** Parses a whole message (RFC 5322, MIME); `attachments` in their order. */
  export function simpleParser(source: string | Uint8Array): Promise<{
    attachments: readonly { contentType: string; content: Buffer }[];
  }>;
}
