/** When the first words of a server inside QEMU can be had, for the bench of the boot. */
import { connect } from "node:net";
import { clearInterval, clearTimeout, setInterval, setTimeout } from "node:timers";

/**
 * How often a new attempt begins, and how long each may last, in milliseconds. More of them, or shorter ones, would keep a
 * guest from answering any that needs seconds for each.
 */
const INTERVAL = 1_000;
const LIFETIME = 30_000;

/**
 * Resolves when the server at this port of 127.0.0.1 says something. Throws after `timeout` milliseconds. QEMU's network
 * accepts at once what the guest cannot answer yet, and asks the guest again only after 6 and 12 seconds, which would
 * be measured as time of the guest; so attempts overlap, and the first that is answered counts.
 */
export async function firstGreeting(port: number, timeout: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const attempts = new Set<() => void>();
  const attempt = () => {
    const socket = connect(port, "127.0.0.1");
    const end = () => {
      clearTimeout(timer);
      attempts.delete(end);
      socket.destroy();
    };
    const timer = setTimeout(end, LIFETIME);
    attempts.add(end);
    socket
      .on("error", end)
      .on("close", end)
      .once("data", () => resolve());
  };
  const late = setTimeout(() => reject(new Error(`no greeting on port ${port} in ${timeout} ms`)), timeout);
  const attempting = setInterval(attempt, INTERVAL);
  try {
    await promise;
  } finally {
    clearInterval(attempting);
    clearTimeout(late);
    for (const end of [...attempts]) end();
  }
}
