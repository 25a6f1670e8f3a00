/**
 * The addresses of a name, of both families, as the DNS tells them to clients; or that it cannot tell. Called by service.ts
 * for the name at which clients are told to look for the TURN server (turn.ts).
 */
import type { Resolver } from "node:dns/promises";

/** Undefined when of a family nobody could say: those of the other one may not be all. */
export async function findAddresses(
  domain: string,
  resolver: Pick<Resolver, "resolve4" | "resolve6">,
): Promise<readonly string[] | undefined> {
  const answers = await Promise.all(
    [resolver.resolve4(domain), resolver.resolve6(domain)].map((answer) =>
      answer.catch(({ code }: NodeJS.ErrnoException) =>
        code === "ENOTFOUND" || code === "ENODATA" ? [] : undefined,
      ),
    ),
  );
  const known = answers.filter((answer) => answer !== undefined);
  return known.length < answers.length ? undefined : known.flat();
}
