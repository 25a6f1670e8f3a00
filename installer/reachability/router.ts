/**
 * Asks the router for its outer IPv4 address by NAT-PMP (RFC 6886 §3.2): with another one than the Internet sees, a
 * second translator is in front of it. Called by look.ts. I/O: one socket; on Linux the table of routes.
 */
import { createSocket } from "node:dgram";
import { readFile } from "node:fs/promises";
import type { ServerPlace } from "../dns/exchange.ts";
import type { LineWorld } from "./line-world.ts";

const PORT = 5351;
/** Version 0, operation 0 (RFC 6886 §3.2); the answer has 128 added. */
const QUESTION = Buffer.from([0, 0]);
const ANSWER_OPERATION = 128;
/** Version, operation, result, seconds of the epoch, address. In bytes. */
const ANSWER_LENGTH = 12;
/** RFC 6886 §3.1: 250 ms, then doubled. A router on the same network that has not answered by then never will. */
const SENDING_MS = [0, 250, 750] as const;
const LIMIT_MS = 1750;

/** Null when there is no router, or it does not tell. */
export async function routerAddress({ router }: LineWorld, signal: AbortSignal): Promise<string | null> {
  const place = router === undefined ? await defaultRouter() : router;
  return place === null || signal.aborted ? null : askOuterAddress(place, signal);
}

function askOuterAddress({ address, port }: ServerPlace, signal: AbortSignal): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    const end = (found: string | null) => {
      for (const timer of timers) clearTimeout(timer);
      signal.removeEventListener("abort", nothing);
      socket.removeAllListeners();
      socket.on("error", () => {}); // of a socket that nobody waits for any more
      socket.close();
      resolve(found);
    };
    const nothing = () => end(null);
    let timers: NodeJS.Timeout[] = [];
    signal.addEventListener("abort", nothing);
    socket.on("error", nothing);
    socket.on("message", (answer) => {
      const [version, operation] = answer;
      if (answer.length !== ANSWER_LENGTH || version !== 0 || operation !== ANSWER_OPERATION) return;
      const isGiven = answer.readUInt16BE(2) === 0 && answer.readUInt32BE(8) !== 0;
      end(isGiven ? answer.subarray(8).join(".") : null);
    });
    // The system then drops datagrams of other senders, as RFC 6886 §3.1 wants.
    socket.connect(port, address, (error?: Error) => {
      if (error instanceof Error) return nothing();
      timers = [
        ...SENDING_MS.map((after) => setTimeout(() => socket.send(QUESTION), after)),
        setTimeout(nothing, LIMIT_MS),
      ];
    });
  });
}

/** Linux alone shows its routes in a file; elsewhere the router is not asked. */
async function defaultRouter(): Promise<ServerPlace | null> {
  if (process.platform !== "linux") return null;
  const table = await readFile("/proc/net/route", "latin1").catch(() => "");
  for (const line of table.split("\n").slice(1)) {
    const [, destination, gateway = "", , , , , mask] = line.split("\t");
    // Numbers in the order of the machine's bytes, which is the lowest first on all that Node runs on here.
    if (destination !== "00000000" || mask !== "00000000" || !/^[0-9A-F]{8}$/.test(gateway)) continue;
    const address = Buffer.from(gateway, "hex").reverse().join(".");
    if (address !== "0.0.0.0") return { address, port: PORT };
  }
  return null;
}
