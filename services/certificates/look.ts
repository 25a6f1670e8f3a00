/**
 * One look at the certificate: is there something to do, may the authority be asked now, and if so, get a certificate
 * and put it in place. Everything it needs comes in as a parameter. Called by main.ts, which a timer starts.
 */
import {
  type CertificateChain,
  CertificateChainError,
  covers,
  parseCertificateChain,
} from "../../appliance/certificate-chain.ts";
import { letsEncryptDirectory } from "../../appliance/certificate-settings.ts";
import { specialUseOf } from "../../appliance/domain.ts";
import { readIfPresent } from "../../appliance/life/disk.ts";
import { AcmeProblem, type Directory, readDirectory } from "./authority.ts";
import { isUsable, type Look, type LookOptions, save, wordsContext } from "./context.ts";
import { issue } from "./issue.ts";
import { NoAddressError, otherNames, wantedNames } from "./names.ts";
import { LOOK_AGAIN, nextLook, retryAt, withoutFuture } from "./plan.ts";
import { askForRenewal, askForRenewalLater, renewalTime, shallAskForRenewal } from "./renewal.ts";
import { writeReport } from "./report.ts";
import { readState } from "./state.ts";
import { clockWords, explain, explainUnforeseen } from "./words.ts";

/** A first certificate, one with more names, and attempts that left names out. */
const MAX_ORDERS = 4;
/** Of the authority's clock and ours; what it signs is commonly dated back by an hour. In milliseconds. */
const MAX_CLOCK_DIFFERENCE_MS = 10 * 60_000;

/** The clock cannot be trusted: then neither can any date of a certificate. */
class ClockError extends Error {
  override name = "ClockError";
}

/** Rejects only where the state cannot be read or the report not be written; all else is told in the report. */
export async function lookAfterCertificate(options: LookOptions): Promise<void> {
  const { config, paths, now, log } = options;
  const written = await readState(paths.state, config.certificates.acmeDirectory, log);
  const state = withoutFuture(written, now());
  const look: Look = { ...options, state, chain: await readInUse(options) };
  const obstacle = impossible(options);
  const waiting = obstacle === undefined ? await tryToWork(look) : undefined;
  const { failure } = look.state;
  const times =
    waiting !== undefined
      ? [now() + LOOK_AGAIN.forAddress]
      : failure !== undefined
        ? [failure.retryAt]
        : [
            isUsable(look) ? renewalTime(look.state) : undefined,
            look.state.renewal?.askAgainAt,
            nextNames(look),
          ];
  await writeReport(
    paths,
    {
      ...{ state: look.state, chain: look.chain, problem: obstacle ?? waiting ?? failure?.text },
      nextLook: nextLook(now(), obstacle === undefined ? times : []),
      renewAt: isUsable(look) ? renewalTime(look.state) : undefined,
    },
    log,
  );
}

async function readInUse({ paths, log }: LookOptions): Promise<CertificateChain | undefined> {
  const text = (await readIfPresent(paths.certificate))?.toString();
  if (text === undefined) return undefined;
  try {
    return parseCertificateChain(text);
  } catch (error) {
    if (!(error instanceof CertificateChainError)) throw error;
    log.warn(`the certificate in use ${error.message}`);
    return undefined;
  }
}

/** What no attempt can mend. */
function impossible({ config: { domain, certificates }, keys }: LookOptions): string | undefined {
  const special = specialUseOf(domain);
  if (certificates.acmeDirectory === letsEncryptDirectory && special !== undefined) {
    return `No public certificate authority certifies names that end in .${special.ending} (${special.source}): set source under [certificates] in relay.toml to “self-signed” or “files”.`;
  }
  if (keys.account !== "") return undefined;
  return "The relay has no keys/acme-account.pem, without which no certificate authority can be asked: build the image again from the relay folder.";
}

/** Resolves to what is waited for, when that is nothing that the authority has to be spared for. */
async function tryToWork(look: Look): Promise<string | undefined> {
  try {
    await work(look);
  } catch (error) {
    if (error instanceof NoAddressError || error instanceof ClockError) return error.message;
    await noteFailure(look, error);
  }
  return undefined;
}

async function work(look: Look): Promise<void> {
  if (mustSpareAuthority(look)) return;
  const { config, resolvers, now } = look;
  const wanted = () => {
    const isCovered = (name: string) => look.chain !== undefined && covers(look.chain, name);
    return wantedNames(config, look.state, resolvers.system, now(), isCovered);
  };
  let names: string[];
  try {
    names = await wanted();
  } catch (error) {
    // While the certificate is good, a name server that is away is no matter.
    if (error instanceof NoAddressError && reasonToOrder(look, [config.domain]) === undefined) return;
    throw error;
  }
  const isDue = reasonToOrder(look, names) !== undefined;
  if (isDue || shallAskForRenewal(look)) {
    // On a full disk neither an order nor a failure could be remembered: then nothing is asked.
    await save(look, {});
    const directory = await openDirectory(look, isDue);
    if (directory === undefined) return;
    await askForRenewal(look, directory);
    for (let orders = 0; orders < MAX_ORDERS; orders++) {
      // The domain alone first: its certificate shall not wait for names that are less needed.
      const next = isUsable(look) ? await wanted() : [config.domain];
      const reason = reasonToOrder(look, next);
      if (reason === undefined) break;
      await issue(look, directory, next, reason);
    }
    await askForRenewal(look, directory);
  }
  if (look.state.order === undefined) await look.challenges.sweep([]);
  if (look.state.failure !== undefined) await save(look, { failure: undefined });
}

/** After a failure; but whoever started the relay again has mended something, and shall not wait for hours. */
function mustSpareAuthority({ state: { failure }, isFirstSinceBoot, now }: Look): boolean {
  if (failure === undefined || now() >= failure.retryAt) return false;
  const { at, retryAfterMs = 0 } = failure;
  return !isFirstSinceBoot || now() < retryAt({ count: 1, at, retryAfterMs }, 1);
}

/** Why a certificate for these names is needed; undefined when the present one does. */
function reasonToOrder(look: Look, names: readonly string[]): string | undefined {
  const { chain, state, config, now } = look;
  if (chain === undefined || !isUsable(look)) return "there is none";
  const { installed } = state;
  if (installed?.fingerprint !== chain.leaf.fingerprint256) return "the present one is of another authority";
  if (installed.profile !== config.certificates.profile) return "another kind is wanted";
  const more = names.filter((name) => !covers(chain, name));
  if (more.length > 0) return `it lacks ${more.join(", ")}`;
  return now() >= (renewalTime(state) ?? 0) ? "it is time to renew it" : undefined;
}

/** Undefined when it cannot be read, and nothing is due. */
async function openDirectory(look: Look, isDue: boolean): Promise<Directory | undefined> {
  let directory: Directory;
  try {
    directory = await readDirectory(look.config.certificates.acmeDirectory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "CERT_NOT_YET_VALID" || code === "CERT_HAS_EXPIRED")
      throw new ClockError(clockWords(undefined));
    const reason = isDue ? undefined : explain(error, wordsContext(look));
    if (reason === undefined) throw error;
    await askForRenewalLater(look, reason);
    return undefined;
  }
  const { date } = directory;
  const difference = date === undefined ? 0 : Math.abs(date.getTime() - look.now());
  if (!look.clockIsSynced && difference > MAX_CLOCK_DIFFERENCE_MS) throw new ClockError(clockWords(date));
  return directory;
}

/** Names that are not in the certificate yet are tried from time to time. */
function nextNames({ chain, state, config, now }: Look): number | undefined {
  const missing = otherNames(config).filter((name) => chain === undefined || !covers(chain, name));
  if (missing.length === 0) return undefined;
  return Math.min(
    ...missing.map((name) => Math.max(now() + LOOK_AGAIN.forNames, state.refused[name]?.retryAt ?? 0)),
  );
}

/** Whatever it was, it counts: or the authority would be asked the same every few minutes for ever. */
async function noteFailure(look: Look, error: unknown): Promise<void> {
  const { state, now, random, log } = look;
  const foreseen = explain(error, wordsContext(look));
  const text = foreseen ?? explainUnforeseen(error, wordsContext(look));
  if (foreseen === undefined) log.error("looking after the certificate failed", {}, error);
  const count = (state.failure?.count ?? 0) + 1;
  const retryAfterMs = error instanceof AcmeProblem ? error.retryAfterMs : undefined;
  const failure = { count, at: now(), text, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  const isForgotten = error instanceof AcmeProblem && error.type === "accountDoesNotExist";
  const changes = {
    ...(isForgotten && { account: undefined, order: undefined }),
    failure: { ...failure, retryAt: retryAt(failure, random()) },
    totals: { ...state.totals, failed: state.totals.failed + 1 },
  };
  await save(look, changes).catch((cause) => {
    // It is in memory all the same, and so in the report, which is not on the disk that fails.
    log.error("the failure cannot be written down", {}, cause);
  });
  log.warn("no new certificate", { reason: text, failures: count });
}
