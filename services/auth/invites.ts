/**
 * Invitations: made, listed and revoked by the operator (control-server.ts), looked up for whoever brings a token
 * (sign-up.ts). A use is taken only together with the account that it makes (store-writer.ts). The list knows the
 * hash of a token alone, so a token is shown once, when it is made.
 */
import { hash } from "node:crypto";
import type { DatabaseSync } from "node:sqlite";
import type { Invite } from "../../appliance/invite.ts";
import { inventToken, isToken } from "./invention.ts";
import { askerOf, findUnusedSql } from "./lost-answer.ts";
import type { ListChange, ListOutcome } from "./store-writer.ts";

/** Invitations kept: more than an operator hands out in years; the table then takes some 2 MB. */
const maxInvites = 10_000;

export type InviteState = "good" | "used-up" | "expired" | "unknown";

export type InviteList = Readonly<{
  /**
   * Undefined when there are too many. It is on disk when this resolves.
   * @throws AccountListError as the store's create does.
   */
  create(
    wanted: Readonly<{ uses: number; expires: number | null; note: string }>,
    now: number,
  ): Promise<(Invite & { token: string }) | undefined>;
  /** Oldest first. */
  list(): Invite[];
  /** False when there is no such invitation. @throws AccountListError as the store's create does. */
  revoke(id: number): Promise<boolean>;
  /** What a token is good for at `now`, whatever text it is, in the hands of a client with this address. */
  find(token: string, now: number, client?: string): InviteState;
}>;

export function createInviteList(
  list: Readonly<{
    read: <T>(query: (database: DatabaseSync) => T) => T;
    change: (wanted: ListChange) => Promise<ListOutcome>;
  }>,
): InviteList {
  return {
    async create({ uses, expires, note }, now) {
      const token = inventToken();
      const created = Math.floor(now);
      const { id } = await list.change({
        kind: "add-invite",
        tokenHash: hashToken(token),
        uses,
        expires,
        note,
        created,
        limit: maxInvites,
      });
      return id === undefined ? undefined : { id, uses, usesLeft: uses, expires, note, created, token };
    },
    list: () =>
      list
        .read((database) => database.prepare("SELECT * FROM invites ORDER BY id").all())
        .map((row) => ({
          id: Number(row.id),
          uses: Number(row.uses),
          usesLeft: Number(row.uses_left),
          expires: row.expires === null ? null : Number(row.expires),
          note: String(row.note),
          created: Number(row.created),
        })),
    revoke: async (id) => (await list.change({ kind: "revoke-invite", id })).made,
    find(token, now, client = "") {
      if (!isToken(token)) return "unknown";
      const tokenHash = hashToken(token);
      const row = list.read((database) =>
        database.prepare("SELECT uses_left, expires FROM invites WHERE token_hash = ?").get(tokenHash),
      );
      if (row === undefined) return "unknown";
      if (Number(row.uses_left) < 1) {
        const asker = askerOf(token, client);
        const again = list.read((database) =>
          database.prepare(findUnusedSql).get(tokenHash, Math.floor(now), asker),
        );
        return again === undefined ? "used-up" : "good";
      }
      return row.expires !== null && Number(row.expires) <= now ? "expired" : "good";
    },
  };
}

/** A token is random: a hash without salt gives nothing away, and finds it in one look-up. */
export function hashToken(token: string): Buffer {
  return hash("sha256", token, "buffer");
}
