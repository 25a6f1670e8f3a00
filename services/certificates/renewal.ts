/**
 * When the certificate in use is to be renewed: as the authority says (RFC 9773), or as was planned when it came.
 * Called by look.ts.
 */
import { type Directory, readRenewalWindow } from "./authority.ts";
import { isUsable, type Look, save, wordsContext } from "./context.ts";
import { LEAST_AGE, LOOK_AGAIN, renewalInWindow } from "./plan.ts";
import { renewalId } from "./renewal-id.ts";
import type { CertificateState } from "./state.ts";
import { explain } from "./words.ts";

/** In milliseconds since 1970; undefined when nothing is known of the certificate. */
export function renewalTime({ renewal, installed }: CertificateState): number | undefined {
  if (installed === undefined) return undefined;
  return Math.max(installed.at + LEAST_AGE, renewal?.at ?? installed.renewAt);
}

/** Whether the authority was not asked yet about the certificate in use, or wants to be asked again. */
export function shallAskForRenewal(look: Look): boolean {
  const { renewal } = look.state;
  return isUsable(look) && (renewal === undefined || look.now() >= renewal.askAgainAt);
}

/** Asks the authority if it is time for that; without an answer, what is planned stays. */
export async function askForRenewal(look: Look, { renewalInfo }: Directory): Promise<void> {
  const { state, chain, now, random, log } = look;
  if (chain === undefined || !shallAskForRenewal(look)) return;
  const id = renewalId(chain);
  if (id === undefined || renewalInfo === undefined) {
    if (state.renewal !== undefined) await save(look, { renewal: undefined });
    return;
  }
  const before = state.renewal?.id === id ? state.renewal : undefined;
  try {
    const window = await readRenewalWindow(renewalInfo, id, now());
    const at = renewalInWindow(window, before, random());
    const { start, end, askAgainMs } = window;
    await save(look, { renewal: { id, start, end, at, askAgainAt: now() + askAgainMs } });
  } catch (error) {
    const reason = explain(error, wordsContext(look));
    if (reason === undefined) throw error;
    log.warn("the authority does not say when to renew", { reason });
    const at = before?.at ?? state.installed?.renewAt ?? now();
    const { start, end } = before ?? { start: at, end: at };
    await save(look, { renewal: { id, start, end, at, askAgainAt: now() + LOOK_AGAIN.afterSilence } });
  }
}

/** The authority does not even show its directory: asked again later, for nothing is due. */
export async function askForRenewalLater(look: Look, reason: string): Promise<void> {
  look.log.warn("the authority cannot be asked when to renew", { reason });
  const { renewal } = look.state;
  if (renewal === undefined) return;
  await save(look, { renewal: { ...renewal, askAgainAt: look.now() + LOOK_AGAIN.afterSilence } });
}
