/**
 * Whether the very first router on the way has an address: a packet that may go one hop (RFC 791 §3.1, time to live) and
 * is answered by the address itself went no further. So it shows without the router's help whether its provider shares
 * the address among customers, or a second router is in front. Called by look.ts. I/O: the system's ping, which may send
 * what Node cannot.
 */
import { execFile } from "node:child_process";
import { isIPv4 } from "node:net";

/** The first router is a few milliseconds away. */
const ANSWER_LIMIT_S = 1;
const PROGRAM_LIMIT_MS = 3000;

/** True, false, or null when nothing shows: no ping here, or the router keeps silent. Throws nothing. */
export async function firstHopHas(address: string, signal: AbortSignal): Promise<boolean | null> {
  if (!isIPv4(address) || signal.aborted) return null;
  const options = {
    ...{ timeout: PROGRAM_LIMIT_MS, windowsHide: true, signal },
    // The words of the answer, which are read.
    env: { ...process.env, LC_ALL: "C" },
  };
  const text = await new Promise<string>((resolve) => {
    // It ends with an error where nobody answers; what it prints tells more.
    execFile("ping", pingArguments(process.platform, address), options, (_error, stdout) => resolve(stdout));
  });
  return readPing(text, address);
}

function pingArguments(platform: NodeJS.Platform, address: string): string[] {
  const milliseconds = String(ANSWER_LIMIT_S * 1000);
  if (platform === "win32") return ["-n", "1", "-i", "1", "-w", milliseconds, address];
  if (platform === "darwin") return ["-n", "-c", "1", "-m", "1", "-W", milliseconds, address];
  return ["-n", "-c", "1", "-t", "1", "-W", String(ANSWER_LIMIT_S), address];
}

/** Pure. iputils, busybox, macOS and Windows; of Windows' words in other languages only the answer itself is known. */
export function readPing(text: string, address: string): boolean | null {
  const place = address.replaceAll(".", "\\.");
  // “64 bytes from A: icmp_seq=1 ttl=64 …”; “Reply from A: bytes=32 time<1ms TTL=64”. No digit may follow the address.
  if (new RegExp(`\\s${place}: .*\\bttl=\\d`, "i").test(text)) return true;
  return /time to live exceeded|ttl expired|TTL expired/i.test(text) ? false : null;
}
