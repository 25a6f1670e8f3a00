/**
 * What services/web asks the account service, on a socket that its user alone may open.
 *
 *   POST /sign-up     client, invitation, proof   200 {"result": "made", "email", "password"} ·
 *                                                 403, 410, 429, 503 {"result": "refused", "reason", "retrySeconds"?}
 *   POST /welcome     client                      200 {"mode", "retrySeconds"?, "puzzle"?}
 *   POST /home-invitation  pin                  200 {"result": "made", "mode", "link"?} ·
 *                                                 403, 429 {"result": "refused", "reason", "retrySeconds"?}
 *   POST /invitation  token, client?              200 {"mode", "state"}
 *
 * Bodies are forms. Nobody waits here for a hash, so there is no queue.
 */
import type { IncomingMessage, Server } from "node:http";
import type { Log } from "../lib/log.ts";
import { createTally, type Tally } from "../lib/tally.ts";
import { FieldEncodingError } from "./form.ts";
import type { HomeInvitations } from "./home-pin.ts";
import { BadRequestError, createJsonServer, type Reply, readForm, requireField } from "./json-server.ts";
import type { Refusal } from "./rules.ts";
import type { SignUp } from "./sign-up.ts";

/** RFC 9110 §15.5.4, §15.5.11, §15.6.4; RFC 6585 §4. Whatever is not here: 403. */
const statusOf: Partial<Record<Refusal, number>> = {
  "invitation-used-up": 410,
  "invitation-expired": 410,
  "too-many-new-accounts": 429,
  "proof-refused": 429,
  "load-too-high": 503,
  "memory-too-low": 503,
  "disk-too-full": 503,
  "no-free-name": 503,
};

/** Makes the server; the caller lets it listen. */
export function createSignUpServer({
  signUp,
  home,
  log,
}: Readonly<{ signUp: SignUp; home: HomeInvitations; log: Log }>): Server {
  const refusals = createTally((reason, count) => log.info("sign-ups refused", { reason, count }));
  const server = createJsonServer({
    log,
    answer: (request) => answer(request, { signUp, home }, refusals),
    onDrop: () => log.warn("too many connections of the web service"),
  });
  server.on("close", () => refusals.flush());
  return server;
}

async function answer(
  request: IncomingMessage,
  { signUp, home }: Readonly<{ signUp: SignUp; home: HomeInvitations }>,
  refusals: Tally,
): Promise<Reply> {
  if (request.method !== "POST") throw new BadRequestError(405, "only POST is answered");
  const fields = await readForm(request).catch((cause) => {
    if (cause instanceof FieldEncodingError) throw new BadRequestError(400, cause.message);
    throw cause;
  });
  switch (request.url) {
    case "/sign-up": {
      const verdict = await signUp.make({
        client: requireField(fields, "client"),
        invitation: fields.get("invitation") ?? "",
        proof: fields.get("proof") ?? "",
      });
      if (verdict.kind === "made") {
        return {
          status: 200,
          body: { result: "made", email: verdict.address, password: verdict.password },
        };
      }
      const { refusal, retrySeconds } = verdict;
      refusals.note(refusal);
      return {
        status: statusOf[refusal] ?? 403,
        body: { result: "refused", reason: refusal, ...(retrySeconds && { retrySeconds }) },
      };
    }
    case "/welcome":
      return { status: 200, body: signUp.welcome(requireField(fields, "client")) };
    case "/home-invitation": {
      const body = await home(requireField(fields, "pin"));
      if (body.result === "made") return { status: 200, body };
      return { status: body.reason === "too-many" ? 429 : 403, body };
    }
    case "/invitation":
      return {
        status: 200,
        body: signUp.findInvitation(requireField(fields, "token"), fields.get("client")),
      };
    default:
      throw new BadRequestError(404, "no such path");
  }
}
