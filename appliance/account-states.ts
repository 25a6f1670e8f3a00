/**
 * What an account may be, beside an ordinary one: kept in the list of accounts (services/auth), shown and changed by
 * homing-ctl, and how services/reaper takes an account away step by step.
 */

/**
 * "blocked": nobody can log in to it and it gets no mail; it stays until it is unblocked, its mail as long as other mail does.
 * "leaving": it is being deleted. To everybody it is gone, but nobody can have its name before its mail and tokens are.
 */
export const accountStates = ["active", "blocked", "leaving"] as const;

export type AccountState = (typeof accountStates)[number];

/** A line of the list, and what is known of one account (services/auth/account-requests.ts). */
export type ListedAccount = Readonly<{
  address: string;
  /** Start of the UTC day on which it was made, Unix seconds. */
  createdDay: number;
  state: AccountState;
  /** Start of the UTC day on which it was unblocked last: until then nobody could log in. Unix seconds. */
  unblockedDay?: number;
}>;
