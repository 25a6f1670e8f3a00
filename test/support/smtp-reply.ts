/** Replies of an SMTP or LMTP server (RFC 5321 §4.2), as the plain sessions of the tests read them. */
import type { LineReader } from "./line-reader.ts";

export type SmtpReply = Readonly<{
  code: number;
  /** The texts after the code, lines joined by a line feed. */
  text: string;
}>;

/** The next reply, of all its lines. Throws when the server closes the connection instead. */
export async function readReply(reader: LineReader): Promise<SmtpReply> {
  const texts: string[] = [];
  for (;;) {
    const line = await reader.line();
    texts.push(line.slice(4));
    if (line[3] !== "-") return { code: Number(line.slice(0, 3)), text: texts.join("\n") };
  }
}
