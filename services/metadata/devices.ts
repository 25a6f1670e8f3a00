/**
 * Who is woken by which token, from the two questions that every store of them answers. Pure; used by store.ts and
 * store-with-spare.ts.
 */

/** That gave a token for a mailbox, in practice the INBOX. */
export type Device = Readonly<{ address: string; mailbox: string; token: string }>;

export type Devices = Readonly<{
  /** Of an account, the oldest first. */
  of(address: string): Device[];
  with(token: string): Device[];
}>;

export type TokenReader = Readonly<{
  /** The tokens set on a mailbox, oldest first. */
  tokens(address: string, mailbox: string): string[];
  /** Those of all its mailboxes: where a new message is told. */
  tokensOf(address: string): string[];
  /** Whether some device has the token. */
  hasToken(token: string): boolean;
  /** The account of a device that has the token. */
  accountOf(token: string): string | undefined;
}>;

export function readTokens(devices: Devices): TokenReader {
  const tokensOf = (found: readonly Device[]): string[] => [...new Set(found.map(({ token }) => token))];
  return {
    tokens: (address, mailbox) =>
      tokensOf(devices.of(address).filter((device) => device.mailbox === mailbox)),
    tokensOf: (address) => tokensOf(devices.of(address)),
    hasToken: (token) => devices.with(token).length > 0,
    accountOf: (token) => devices.with(token)[0]?.address,
  };
}
