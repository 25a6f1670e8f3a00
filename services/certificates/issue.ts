/**
 * Gets one certificate from the authority and puts it in its place. A name that the authority does not accept is left
 * out for a while, unless it is the domain itself. Called by look.ts.
 */
import type { Client } from "acme-client";
import { checkCertificate, parseCertificateChain } from "../../appliance/certificate-chain.ts";
import { replaceDurably } from "../../appliance/durable.ts";
import { AcmeProblem, authorityClient, type Directory } from "./authority.ts";
import { isUsable, type Look, save, wordsContext } from "./context.ts";
import { NamesRefusedError, obtainChain } from "./order.ts";
import { nameKey, recentlyIssued, retryAt, usedUpUntil, usualRenewal } from "./plan.ts";
import { nameRefused } from "./words.ts";

/** A name beside the domain is tried again as if it had failed so often before: nobody waits for it. */
const PATIENCE_WITH_OTHERS = 3;
/** Problems that one name of an order may be the reason for (RFC 8555 §6.7). */
const problemsOfNames = [
  "caa",
  "connection",
  "dns",
  "malformed",
  "rejectedIdentifier",
  "tls",
  "unauthorized",
];

/** Rejects with what `obtainChain` does, but for names that can be left out. */
export async function issue(
  look: Look,
  directory: Directory,
  names: string[],
  reason: string,
): Promise<void> {
  const { config, keys, challenges, patience, log } = look;
  const { profile } = config.certificates;
  if (profile !== "" && directory.profiles?.includes(profile) !== true) {
    const known = directory.profiles?.join(", ") ?? "none";
    throw new AcmeProblem({ type: "invalidProfile", detail: `${profile}; known: ${known}` });
  }
  const { order, renewal, installed } = look.state;
  const isBegun = order !== undefined && nameKey(order.names) === nameKey(names) && order.profile === profile;
  if (!isBegun) requireRoom(look, names);
  const client = await openAccount(look);
  log.info("asking for a certificate", { names: names.join(" "), reason });
  try {
    const pem = await obtainChain({
      ...{ client, challenges, patience, names, profile, keyPem: keys.tls, log },
      begun: isBegun ? order.url : undefined,
      replaces: installed !== undefined && isUsable(look) ? renewal?.id : undefined,
      remember: (url) => save(look, { order: url === undefined ? undefined : { url, names, profile } }),
    });
    await install(look, pem, names);
  } catch (error) {
    const refused = refusedNames(error, names, config.domain);
    if (refused === undefined) throw error;
    await leaveOut(look, refused);
  }
}

function requireRoom({ state, now }: Look, names: string[]): void {
  const until = usedUpUntil(state, names, now());
  if (until === undefined) return;
  const detail = "the relay's own limit, which keeps below the authority's";
  throw new AcmeProblem({ type: "rateLimited", detail, retryAfterMs: until - now() });
}

async function openAccount(look: Look): Promise<Client> {
  const { config, keys, state, log } = look;
  const { acmeDirectory, email } = config.certificates;
  const client = authorityClient(acmeDirectory, keys.account, state.account?.url);
  if (state.account?.contact === email) return client;
  const contact = email === "" ? [] : [`mailto:${email}`];
  await client.createAccount({ termsOfServiceAgreed: true, contact });
  const url = client.getAccountUrl();
  await save(look, { account: { url, contact: email } });
  log.info("there is an account at the certificate authority", { url });
  return client;
}

/** Puts the chain in its place when it is right; whoever shows it watches the file. */
async function install(look: Look, pem: string, names: string[]): Promise<void> {
  const { config, keys, paths, state, now, random, log } = look;
  const chain = parseCertificateChain(pem);
  checkCertificate(chain, { keyPem: keys.tls, names, at: new Date(now()) });
  await replaceDurably(paths.certificate, chain.pem, { mode: 0o644 });
  look.chain = chain;
  const renewAt = usualRenewal(chain, random());
  await save(look, {
    ...{ order: undefined, failure: undefined, renewal: undefined },
    installed: {
      ...{ fingerprint: chain.leaf.fingerprint256, names, at: now(), renewAt },
      profile: config.certificates.profile,
    },
    issued: [...recentlyIssued(state, now()), { at: now(), names }],
    refused: Object.fromEntries(Object.entries(state.refused).filter(([name]) => !names.includes(name))),
    totals: { ...state.totals, issued: state.totals.issued + 1 },
  });
  log.info("there is a new certificate", { names: names.join(" "), until: chain.notAfter.toISOString() });
}

/** The names that spoiled the order; undefined when it was the domain itself or no name at all. */
function refusedNames(
  error: unknown,
  names: readonly string[],
  domain: string,
): ReadonlyMap<string, AcmeProblem> | undefined {
  if (error instanceof NamesRefusedError) return error.refused.has(domain) ? undefined : error.refused;
  if (!(error instanceof AcmeProblem) || !problemsOfNames.includes(error.type)) return undefined;
  const others = names.filter((name) => name !== domain);
  if (others.length === 0 || error.names.includes(domain)) return undefined;
  const named = others.filter((name) => error.names.includes(name));
  // It does not say which: then all, and the domain alone shows whether it was one of them.
  return new Map((named.length > 0 ? named : others).map((name) => [name, error]));
}

async function leaveOut(look: Look, refused: ReadonlyMap<string, AcmeProblem>): Promise<void> {
  const { state, now, random, log } = look;
  const failures = [...refused].map(([name, problem]) => {
    const count = (state.refused[name]?.count ?? 0) + 1;
    const text = nameRefused(name, problem, wordsContext(look));
    log.warn("a name is left out of the certificate", { name, reason: text });
    const at = now();
    return [
      name,
      { count, at, text, retryAt: retryAt({ count: count + PATIENCE_WITH_OTHERS, at }, random()) },
    ];
  });
  await save(look, { refused: { ...look.state.refused, ...Object.fromEntries(failures) } });
}
