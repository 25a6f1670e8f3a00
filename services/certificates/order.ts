/**
 * An order at the authority, from its making (or from where an earlier run had to leave it) to the certificate
 * (RFC 8555 §7.4). The order is written down before anything is done with it, so that a kill at any moment costs
 * nothing: the next look takes it up where it is. Called by look.ts.
 */

import { isIP } from "node:net";
import { type Authorization, type Client, crypto, type Order } from "acme-client";
import type { Log } from "../lib/log.ts";
import { AcmeProblem, problemIn } from "./authority.ts";
import type { Answer, Challenges } from "./challenges.ts";
import { OrderPendingError, type Patience } from "./pending.ts";
import { until } from "./until.ts";

/** In milliseconds, as far as the look's patience goes. Let's Encrypt looks at a challenge within seconds; others may queue it. */
const LIMITS = { validation: 3 * 60_000, issuance: 5 * 60_000 } as const;

export type OrderOptions = Readonly<{
  client: Client;
  challenges: Challenges;
  names: readonly string[];
  /** Empty: the authority's usual one. */
  profile: string;
  /** The certificate that this one takes the place of (RFC 9773 §5). */
  replaces: string | undefined;
  /** The order that an earlier run had to leave. */
  begun: string | undefined;
  keyPem: string;
  patience: Patience;
  /** Writes down that there is an order, or that there is none any more. */
  remember(url: string | undefined): Promise<void>;
  log: Log;
}>;

/** The authority does not believe that these names are ours. */
export class NamesRefusedError extends Error {
  override name = "NamesRefusedError";
  readonly refused: ReadonlyMap<string, AcmeProblem>;
  constructor(refused: ReadonlyMap<string, AcmeProblem>) {
    super([...refused].map(([name, { message }]) => `${name}: ${message}`).join("; "));
    this.refused = refused;
  }
}

/**
 * The chain in PEM; the order stays remembered until the caller has stored it. Throws AcmeProblem, NamesRefusedError,
 * OrderPendingError, the errors of the network, and what `challenges` throws.
 */
export async function obtainChain(options: OrderOptions): Promise<string> {
  const { client, remember, patience } = options;
  let order = await openOrder(options);
  if (order.status === "pending") {
    await proveNames(options, order);
    order = await client.getOrder(order);
  }
  if (order.status === "ready") {
    const csr = await certificateRequest(options);
    order = await client.finalizeOrder(order, csr);
  }
  const done = await until(patience(LIMITS.issuance), async () => {
    if (order.status === "processing" || order.status === "ready") order = await client.getOrder(order);
    return order.status === "valid" || order.status === "invalid" ? order : undefined;
  });
  if (done === undefined) throw new OrderPendingError("the authority has not issued the certificate yet");
  if (done.status === "valid") return await client.getCertificate(done);
  await remember(undefined);
  throw problemIn(done.error);
}

/** The one that was begun, if it still leads anywhere; otherwise a new one. */
async function openOrder(options: OrderOptions): Promise<Order> {
  const { client, names, profile, begun, remember, log } = options;
  let { replaces } = options;
  if (begun !== undefined) {
    const order = await findOrder(client, begun);
    if (order !== undefined && order.status !== "invalid") {
      log.info("going on with the order that was begun", { url: begun, status: order.status });
      return order;
    }
    await remember(undefined);
  }
  const identifiers = names.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value }));
  for (;;) {
    const wanted = { identifiers, ...(profile !== "" && { profile }), ...(replaces && { replaces }) };
    try {
      const order = await client.createOrder(wanted);
      await remember(order.url);
      return order;
    } catch (error) {
      // RFC 9773 §5: it was replaced before, or by another account's order; then it is nothing but a new one.
      const isAboutReplacing =
        error instanceof AcmeProblem && (error.type === "alreadyReplaced" || error.type === "malformed");
      if (!isAboutReplacing || replaces === undefined) throw error;
      replaces = undefined;
    }
  }
}

/** Undefined when the authority knows it no more. */
async function findOrder(client: Client, url: string): Promise<Order | undefined> {
  try {
    return await client.getOrder({ url } as Order);
  } catch (error) {
    const isGone = error instanceof AcmeProblem && [400, 403, 404, 410].includes(error.status);
    if (!isGone || error.type === "accountDoesNotExist") throw error;
    return undefined;
  }
}

type Proof = Answer & Readonly<{ url: string }>;

async function proveNames(options: OrderOptions, order: Order): Promise<void> {
  const { client, challenges, patience, remember, log } = options;
  const authorizations = await client.getAuthorizations(order);
  const pending = authorizations.filter(({ status }) => status === "pending");
  const proofs = await Promise.all(pending.map((authorization) => proofOf(options, authorization)));
  await challenges.sweep(proofs);
  let isKept = false;
  try {
    // At the same time: a record may take minutes to be everywhere. Whatever fails, what was made is taken away again.
    const shown = await Promise.allSettled(proofs.map((proof) => challenges.present(proof, patience)));
    const failures = shown.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
    const isLate = (reason: unknown) => reason instanceof OrderPendingError;
    if (failures.length > 0) throw failures.find((reason) => !isLate(reason)) ?? failures[0];
    for (const { url, token } of proofs) {
      await client.completeChallenge({ type: challenges.type, status: "pending", url, token });
    }
    let states: readonly Authorization[] = authorizations;
    await until(patience(LIMITS.validation), async () => {
      states = await client.getAuthorizations(order);
      return states.every(({ status }) => status !== "pending") || undefined;
    });
    const refused = refusals(states, challenges.type);
    if (refused.size > 0) {
      await remember(undefined);
      throw new NamesRefusedError(refused);
    }
    if (states.some(({ status }) => status === "pending")) {
      throw new OrderPendingError("the authority has not looked at the proof yet");
    }
  } catch (error) {
    // Name servers that are slow would begin anew.
    isKept = error instanceof OrderPendingError;
    throw error;
  } finally {
    for (const proof of isKept ? [] : proofs) {
      await challenges.remove(proof).catch((cause) => {
        log.error("the answer to a challenge could not be taken away", { name: proof.name }, cause);
      });
    }
  }
}

async function proofOf({ client, challenges }: OrderOptions, authorization: Authorization): Promise<Proof> {
  const name = authorization.identifier.value;
  const challenge = authorization.challenges.find(({ type }) => type === challenges.type);
  if (challenge === undefined) {
    throw new AcmeProblem({ type: "", detail: `it does not take ${challenges.type} as a proof for ${name}` });
  }
  const keyAuthorization = await client.getChallengeKeyAuthorization(challenge);
  return { name, token: challenge.token, keyAuthorization, url: challenge.url };
}

/** Names whose authorization ended otherwise than well, with what the authority wrote. */
function refusals(authorizations: readonly Authorization[], type: string): Map<string, AcmeProblem> {
  return new Map(
    authorizations
      .filter(({ status }) => status !== "valid" && status !== "pending")
      .map(({ identifier, challenges }) => {
        const failed =
          challenges.find((one) => one.error !== undefined) ?? challenges.find((one) => one.type === type);
        return [identifier.value, problemIn(failed?.error)];
      }),
  );
}

/** The key is the relay's own, the same for every certificate: clients remember it. */
async function certificateRequest({ names, keyPem }: OrderOptions): Promise<Buffer> {
  const [, csr] = await crypto.createCsr({ altNames: [...names] }, keyPem);
  return csr;
}
