/**
 * One connection to the provider for all the work of a wizard, because a one-time password is taken once and some
 * providers count logins. Each piece of work has its own way of being stopped: what only reads is cut off, what
 * changes something ends between two requests. Called by zone-effects.ts.
 */
import type { ConnectOptions, Credentials } from "../../appliance/dns/provider.ts";
import { realClock } from "../../appliance/dns/provider-http.ts";
import type { ZoneKeeper } from "../dns/apply.ts";

export type Access = Readonly<{ provider: string; credentials: Credentials }>;

/** "gently": the request that is on its way gets its answer, so that nobody has to guess what it did. */
export type Stop = Readonly<{ signal: AbortSignal; how: "at once" | "gently" }>;

export type KeeperFor = (access: Access, stop: Stop) => Promise<ZoneKeeper>;

/** No request yet. The one before is forgotten when other credentials come. */
export function providerSession(connect: ConnectOptions = {}): KeeperFor {
  let current: Stop | undefined;
  let open: { key: string; keeper: ZoneKeeper } | undefined;
  const { fetch = globalThis.fetch, clock = realClock } = connect;
  const stoppable: ConnectOptions = {
    ...connect,
    async fetch(input, init = {}) {
      current?.signal.throwIfAborted();
      const signals = [init.signal, current?.how === "at once" ? current.signal : undefined];
      return fetch(input, { ...init, signal: AbortSignal.any(signals.filter((one) => one != null)) });
    },
    clock: {
      ...clock,
      wait: (milliseconds, signal) =>
        clock.wait(
          milliseconds,
          AbortSignal.any([signal, current?.signal].filter((one) => one !== undefined)),
        ),
    },
  };
  return async ({ provider, credentials }, stop) => {
    current = stop;
    const key = JSON.stringify([provider, credentials]);
    if (open?.key !== key) {
      const { providerById } = await import("../../appliance/dns/providers/providers.ts");
      const description = providerById(provider);
      if (description === undefined) throw new Error(`there is no provider ${provider}`);
      const { id, minTtl, approximate } = description;
      open = {
        key,
        keeper: {
          ...{ id, minTtl, provider: description.connect(credentials, stoppable) },
          ...(approximate && { approximate }),
        },
      };
    }
    return open.keeper;
  };
}
