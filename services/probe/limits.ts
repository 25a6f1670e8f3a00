/**
 * How long the canary waits for what, in milliseconds: longer than a busy Raspberry Pi 3 takes, and together less than
 * systemd gives it (appliance/files/probe-units.ts).
 */

/** Until a server greets, or answers a command. */
export const answerMs = 20_000;

/** From the relay's 250 until the mailbox shows the message: people would write that chat hangs long before. */
export const deliveryMs = 45_000;

/** A name server, and an address that the DNS names. Whatever is there answers within a second. */
export const lookUpMs = 4_000;

/** `promise`, or an error that says what was awaited. */
export async function within<T>(limitMs: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${limitMs / 1000} s`)), limitMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}
