/**
 * Asks resolvers: those of the computer, all at once, or those by HTTPS, one after another. They show one view of the
 * DNS, maybe an old one; whoever wants to know what is published asks the name servers (zone-servers.ts). I/O by
 * exchange.ts and https-exchange.ts.
 */
import { isIP } from "node:net";
import { dnsTypes, readData } from "../../appliance/dns/wire.ts";
import { askServer, NoAnswerError, readable } from "./exchange.ts";
import { askByHttps } from "./https-exchange.ts";
import { answersOf, type DnsAnswer, type DnsQuestion, outcomes, type QuestionOptions } from "./message.ts";
import type { DnsWorld } from "./world.ts";

/** Throws NoAnswerError when no resolver answers, and the signal's reason. */
export type AskResolver = (question: DnsQuestion, options?: QuestionOptions) => Promise<DnsAnswer>;

/** Systems know three (resolv.conf(5), MAXNS). */
const MAX_RESOLVERS = 3;

/** The computer's resolvers. The first answer counts that is none of their own trouble, else that. */
export function systemResolver(world: DnsWorld, signal?: AbortSignal): AskResolver {
  return async (question, options = {}) => {
    signal?.throwIfAborted();
    const asked = world.resolvers.slice(0, MAX_RESOLVERS).map(async (place) => {
      const answer = await askServer(place, question, { recursion: true, ...options }, signal);
      if (answer.outcome === outcomes.refused || answer.outcome === outcomes.serverFailure) {
        throw new ResolverTrouble(answer);
      }
      return answer;
    });
    try {
      return await Promise.any(asked);
    } catch (error) {
      signal?.throwIfAborted();
      const reasons = (error as AggregateError).errors as unknown[];
      const trouble = reasons.find((reason) => reason instanceof ResolverTrouble);
      if (trouble instanceof ResolverTrouble) return trouble.answer;
      const unforeseen = reasons.find((reason) => !(reason instanceof NoAnswerError));
      if (unforeseen !== undefined) throw unforeseen;
      const words = reasons.map((reason) => (reason as Error).message).join("; ");
      throw new NoAnswerError(words === "" ? "this computer has no resolver" : words);
    }
  };
}

/** Resolvers by HTTPS: the next one is asked only when the one before gives no answer. */
export function httpsResolver(world: DnsWorld, signal?: AbortSignal): AskResolver {
  return async (question, options = {}) => {
    const reasons: string[] = [];
    for (const url of world.https) {
      try {
        return await askByHttps(url, question, options, signal, world.fetch);
      } catch (error) {
        if (!(error instanceof NoAnswerError)) throw error;
        reasons.push(error.message);
      }
    }
    throw new NoAnswerError(reasons.join("; ") || "no resolver by HTTPS is named");
  };
}

export type NotedResolver = Readonly<{
  ask: AskResolver;
  /** Whether it knew of any question's name that it exists or does not; its own trouble says nothing of that. */
  answered: () => boolean;
}>;

/** Notes whether anything was learned from a resolver: where nothing was, nothing is missing. */
export function noting(resolver: AskResolver): NotedResolver {
  let answered = false;
  const ask: AskResolver = async (question, options) => {
    const answer = await resolver(question, options);
    answered ||= answer.outcome === outcomes.none || answer.outcome === outcomes.noSuchName;
    return answer;
  };
  return { ask, answered: () => answered };
}

/**
 * Whether what a resolver said counts where it knew none of the names: filters and walled networks answer "no such name" to
 * every question, also to the one about the root, which always is. Throws the signal's reason.
 */
export async function isBelieved({ ask, answered }: NotedResolver): Promise<boolean> {
  if (!answered()) return false;
  try {
    return (await ask({ name: "", type: dnsTypes.SOA }, { unchecked: true })).outcome === outcomes.none;
  } catch (error) {
    if (error instanceof NoAnswerError) return false;
    throw error;
  }
}

class ResolverTrouble extends Error {
  readonly answer: DnsAnswer;
  constructor(answer: DnsAnswer) {
    super("the resolver has a trouble of its own");
    this.answer = answer;
  }
}

/** IPv4 and IPv6 addresses of a host, none when it has none. Throws NoAnswerError. */
export async function hostAddresses(host: string, ask: AskResolver): Promise<string[]> {
  if (isIP(host) !== 0) return [host];
  const families = await Promise.all(
    [dnsTypes.A, dnsTypes.AAAA].map(async (type) => {
      const answer = await ask({ name: host, type }, { unchecked: true });
      // Aliases are followed by the resolver: whatever address is in the answer is meant.
      const records = answer.message.sections[0].filter((record) => record.type === type);
      return readable("the resolver", () =>
        records.flatMap((record) => {
          const data = readData(answer.bytes, record);
          return data !== undefined && "address" in data ? [data.address] : [];
        }),
      );
    }),
  );
  return families.flat();
}

/** Whether a question has records of its type; for zones, types and names alike. */
export function hasRecords(answer: DnsAnswer, question: DnsQuestion): boolean {
  return answer.outcome === outcomes.none && answersOf(answer, question).length > 0;
}
