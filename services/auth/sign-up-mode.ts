/**
 * Who may make an account just now: what relay.toml says, unless the operator chose otherwise on the device, which
 * holds until relay.toml says something else. Read by accounts.ts and sign-up.ts, changed by control-server.ts.
 */
import { type SignUpMode, signUpModes } from "../../appliance/sign-up-modes.ts";
import { describeError, type Log } from "../lib/log.ts";
import type { AccountStore } from "./store.ts";

export type CurrentMode = Readonly<{
  current(): SignUpMode;
  /** What relay.toml says. */
  settings: SignUpMode;
  /** From the moment it resolves, and after every restart. @throws AccountListError when it cannot be kept. */
  choose(mode: SignUpMode): Promise<void>;
}>;

/** Reads what was chosen; a choice that relay.toml has overtaken is forgotten. */
export async function createSignUpMode(
  parts: Readonly<{ store: AccountStore; settings: SignUpMode; log: Log }>,
): Promise<CurrentMode> {
  const { store, settings, log } = parts;
  let chosen: SignUpMode | undefined;
  const kept = store.readModeChoice();
  if (kept?.settingsMode === settings) {
    chosen = signUpModes.find((mode) => mode === kept.mode);
  } else if (kept !== undefined) {
    // Kept, it would come back with the old value of relay.toml.
    await store.keepModeChoice(undefined).catch((cause) => {
      log.warn("an old choice of the sign-up mode was not forgotten", { cause: describeError(cause) });
    });
  }
  return {
    current: () => chosen ?? settings,
    settings,
    async choose(mode) {
      await store.keepModeChoice(mode === settings ? undefined : { mode, settingsMode: settings });
      chosen = mode;
      log.info("the operator chose who may make an account", { mode });
    },
  };
}
