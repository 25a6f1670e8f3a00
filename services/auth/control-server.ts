/**
 * What the operator changes on the running relay, asked by homing-ctl (appliance/ctl/) on a socket that root alone may
 * open. Everything is in force, and on disk, when it is answered.
 *
 *   GET /sign-up                               200 {"mode", "settings"}
 *   PUT /sign-up        mode                   the same
 *   GET /invites                               200 {"invites": […]}
 *   POST /invites       uses, expires?, note   200 {…, "token", "link"}: shown this once. expires: Unix seconds
 *   DELETE /invites/ID                         200, or 404 when there is none
 *   … /accounts …                              account-requests.ts
 *
 * Bodies are forms; mistakes are answered 400 {"text"}, what does not work now 503 {"text"}.
 */
import type { IncomingMessage, Server } from "node:http";
import { signUpModes } from "../../appliance/sign-up-modes.ts";
import type { Log } from "../lib/log.ts";
import { type AccountRequests, accountVerbs } from "./account-requests.ts";
import type { InviteList } from "./invites.ts";
import { BadRequestError, createJsonServer, type Reply, readForm, requireField } from "./json-server.ts";
import type { CurrentMode } from "./sign-up-mode.ts";
import { AccountListError } from "./writer-thread.ts";

/** Of one invitation: a school's worth, and far from any overflow. */
const maxUses = 100_000;
/** Characters; it is shown in one line of a terminal. */
const maxNoteLength = 200;
/** Ten years, as elsewhere for "as good as for ever" (appliance/relay-settings.ts). */
const maxLifetimeSeconds = 3650 * 86_400;

type Parts = Readonly<{
  domain: string;
  mode: CurrentMode;
  invites: InviteList;
  accounts: AccountRequests;
  /** Unix time in seconds. */
  now: () => number;
  log: Log;
}>;

/** Makes the server; the caller lets it listen. */
export function createControlServer(parts: Parts): Server {
  return createJsonServer({
    log: parts.log,
    answer: (request) =>
      answer(request, parts).catch((cause): Reply => {
        // The operator may know: a full disk, a damaged list.
        if (cause instanceof AccountListError)
          return { status: 503, body: { result: "failed", text: cause.message } };
        throw cause;
      }),
  });
}

async function answer(request: IncomingMessage, parts: Parts): Promise<Reply> {
  const { mode, invites } = parts;
  const aboutAccounts = parts.accounts.answer(request.method ?? "", request.url ?? "", accountVerbs);
  if (aboutAccounts !== undefined) return await aboutAccounts;
  const asked = `${request.method} ${request.url}`;
  const revoked = /^DELETE \/invites\/(\d{1,15})$/.exec(asked)?.[1];
  if (revoked !== undefined) {
    const found = await invites.revoke(Number(revoked));
    if (found) parts.log.info("an invitation was revoked", { id: Number(revoked) });
    return found
      ? { status: 200, body: { result: "ok" } }
      : { status: 404, body: { text: `there is no invitation ${revoked}` } };
  }
  switch (asked) {
    case "GET /sign-up":
      return { status: 200, body: { mode: mode.current(), settings: mode.settings } };
    case "PUT /sign-up": {
      const wanted = requireField(await readForm(request), "mode");
      const chosen = signUpModes.find((known) => known === wanted);
      if (chosen === undefined) throw new BadRequestError(400, `modes are ${signUpModes.join(", ")}`);
      await mode.choose(chosen);
      return { status: 200, body: { mode: mode.current(), settings: mode.settings } };
    }
    case "GET /invites":
      return { status: 200, body: { invites: invites.list() } };
    case "POST /invites": {
      const now = parts.now();
      const created = await invites.create(readInvite(await readForm(request), now), now);
      if (created === undefined) throw new BadRequestError(400, "too many invitations: revoke some");
      parts.log.info("an invitation was made", { id: created.id, uses: created.uses });
      return {
        status: 200,
        body: { ...created, link: `https://${parts.domain}/i/${created.token}` },
      };
    }
    default:
      throw new BadRequestError(404, "no such request: is homing-ctl of another version?");
  }
}

function readInvite(
  fields: Map<string, string>,
  now: number,
): { uses: number; expires: number | null; note: string } {
  const uses = readNumber(requireField(fields, "uses"));
  if (!(uses >= 1 && uses <= maxUses)) throw new BadRequestError(400, `uses: 1 to ${maxUses}`);
  const given = fields.get("expires");
  const expires = given === undefined ? null : readNumber(given);
  if (expires !== null && !(expires > now && expires <= now + maxLifetimeSeconds))
    throw new BadRequestError(400, "expires: a time from now on, ten years ahead at most");
  const note = fields.get("note") ?? "";
  // It is printed on terminals: no control characters or direction marks.
  if ([...note].length > maxNoteLength || /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(note))
    throw new BadRequestError(400, `note: one line of at most ${maxNoteLength} characters`);
  return { uses, expires, note };
}

/** NaN, of which no comparison is true, when it is none. */
function readNumber(text: string): number {
  return /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
}
