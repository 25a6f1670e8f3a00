/**
 * What the ways have in common in which a router lets programs forward ports to a device: UPnP (upnp.ts), PCP (pcp.ts)
 * and NAT-PMP (nat-pmp.ts). Used by forward.ts.
 */

import type { RouterPort } from "./relay-ports.ts";

export type ForwardingWay = "upnp" | "pcp" | "nat-pmp";

export const wayNames: Readonly<Record<ForwardingWay, string>> = {
  upnp: "UPnP",
  pcp: "PCP",
  "nat-pmp": "NAT-PMP",
};

/** The port is outside and inside the same. */
export type Forwarding = RouterPort &
  Readonly<{
    /** The device's IPv4 address. */
    target: string;
  }>;

/** Whom a port is forwarded to by now, and what the router's list calls that. */
export type Holder = Readonly<{ target: string; port: number; label: string }>;

/** A port that is forwarded, and to whom. */
export type Listed = Readonly<{ outside: RouterPort; holder: Holder }>;

export type Forwarder = Readonly<{
  way: ForwardingWay;
  /** Null: nobody. Missing where the protocol cannot tell. Throws RefusedError. */
  holder?: (port: RouterPort, signal: AbortSignal) => Promise<Holder | null>;
  /** All that it forwards, whoever made it; missing where the protocol cannot tell. Throws RefusedError. */
  list?: (signal: AbortSignal) => Promise<readonly Listed[]>;
  /**
   * `seconds`: wished for; a router gives what it likes. Null: until somebody takes it back. Throws RefusedError.
   */
  open: (
    wish: Forwarding & Readonly<{ seconds: number }>,
    signal: AbortSignal,
  ) => Promise<Readonly<{ seconds: number | null }>>;
  /**
   * "absent": there is nothing of ours for the target. "unseen": it is not there any more, and the router answers the
   * same where it never was. Throws RefusedError.
   */
  close: (forwarding: Forwarding, signal: AbortSignal) => Promise<"removed" | "unseen" | "absent">;
}>;

/** The router does not do it; the message says why, to stand behind “by UPnP: ”. */
export class RefusedError extends Error {
  override name = "RefusedError";
  /** It did not answer at all. */
  readonly isSilence: boolean;
  constructor(message: string, options: ErrorOptions & Readonly<{ isSilence?: boolean }> = {}) {
    super(message, options);
    this.isSilence = options.isSilence ?? false;
  }
}

/** How forwardings of ours are called in a router's list, by which they are known again. */
export const forwardingLabel = "Homing";
