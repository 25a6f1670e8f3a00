/**
 * The machine's default routers by IPv4. Called by main.ts, so that dns.ts knows a router's own page when it sees it at the
 * public address.
 */
import { readFile } from "node:fs/promises";

/** Not /proc/net, which the unit does not see. */
const tablePath = "/proc/self/net/route";
/** A cable and a radio have one each. */
const maxRouters = 2;

/** Addresses, the preferred first. None where the table cannot be read: then no machine counts as a router. */
export async function readRouters(): Promise<readonly string[]> {
  return routersIn(await readFile(tablePath, "latin1").catch(() => ""));
}

/**
 * Of proc_net(5): a line of titles, then destination, gateway and mask of each route in hexadecimal digits, in the order of
 * bytes of the machine; all of ours are little-endian. The kernel sorts by metric. A gateway of zeros is none.
 */
export function routersIn(table: string): readonly string[] {
  return table
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [, destination, gateway = "", , , , , mask] = line.split("\t");
      if (destination !== "00000000" || mask !== "00000000") return [];
      return /^(?!0{8})[0-9A-F]{8}$/.test(gateway) ? [Buffer.from(gateway, "hex").reverse().join(".")] : [];
    })
    .slice(0, maxRouters);
}
