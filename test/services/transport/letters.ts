/** Messages and domains of the tests of services/transport. */
export const from = "alice@a.example";
export const source = "From: <alice@a.example>\r\n\r\n.hidden\r\n..\r\nend\r\n";
export const names = { "b.example": {}, "_b.test": {}, "c.example": {} };

/** A message of at least so many bytes. */
export function bytesOf(size: number): string {
  return `From: <alice@a.example>\r\n\r\n${"0123456789abcdef\r\n".repeat(Math.ceil(size / 18))}`;
}
