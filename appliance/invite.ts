/** An invitation as services/auth tells of it and homing-ctl shows it, as JSON between the two; without its token. */

/** Times in Unix seconds. */
export type Invite = Readonly<{
  id: number;
  uses: number;
  usesLeft: number;
  /** null: never. */
  expires: number | null;
  note: string;
  created: number;
}>;
