/** POST /mxdeliv as another relay makes it, to a relay of the test network. Used by ring 2. */
import { request } from "node:https";
import type { Relay } from "./relay.ts";

export type HttpsMail = Readonly<{ from: string; to: readonly string[]; source: string }>;

/** Status and text of the answer. */
export function postMail(
  relay: Relay,
  { from, to, source }: HttpsMail,
): Promise<Readonly<{ status: number; text: string }>> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: relay.address,
        servername: relay.domain,
        // Test names have no certificate that verifies.
        rejectUnauthorized: false,
        method: "POST",
        path: "/mxdeliv",
        headers: { Host: relay.domain, "X-MAIL-FROM": from, "X-MAIL-TO": [...to] },
        agent: false,
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (piece: string) => {
          text += piece;
        });
        response.once("end", () => resolve({ status: response.statusCode ?? 0, text }));
        response.once("error", reject);
      },
    );
    outgoing.once("error", reject).end(Buffer.from(source, "latin1"));
  });
}
