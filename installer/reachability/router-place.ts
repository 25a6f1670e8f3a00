/**
 * Which router this computer sends to: from the system's table of routes. On Linux a file shows it, elsewhere the program
 * that prints it in every language alike. Called by router.ts and forward.ts. I/O.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { promisify } from "node:util";

/** Programs that print a table, which is on this computer. */
const PROGRAM_LIMIT_MS = 2000;

/** Its IPv4 address; null when there is none, or the system does not tell. */
export async function defaultRouter(platform: NodeJS.Platform = process.platform): Promise<string | null> {
  if (platform === "linux") return linuxRouter(await readFile("/proc/net/route", "latin1").catch(() => ""));
  if (platform === "win32") return windowsRouter(await output("route.exe", ["print", "-4", "0.0.0.0"]));
  if (platform === "darwin") return bsdRouter(await output("/usr/sbin/netstat", ["-rn", "-f", "inet"]));
  return null;
}

/** What the program prints; nothing where it is missing or fails. */
async function output(program: string, args: readonly string[]): Promise<string> {
  const options = { timeout: PROGRAM_LIMIT_MS, windowsHide: true };
  return promisify(execFile)(program, args, options).then(
    ({ stdout }) => stdout,
    () => "",
  );
}

/** Of /proc/net/route (proc(5)); the kernel sorts it, the preferred route first. */
export function linuxRouter(table: string): string | null {
  for (const line of table.split("\n").slice(1)) {
    const [, destination, gateway = "", , , , , mask] = line.split("\t");
    // Numbers in the order of the machine's bytes, which is the lowest first on all that Node runs on here.
    if (destination !== "00000000" || mask !== "00000000" || !/^[0-9A-F]{8}$/.test(gateway)) continue;
    const address = Buffer.from(gateway, "hex").reverse().join(".");
    if (address !== "0.0.0.0") return address;
  }
  return null;
}

/** Columns: destination, mask, router, interface, metric; the lowest metric is preferred. */
export function windowsRouter(table: string): string | null {
  const routes = table.split(/\r?\n/).flatMap((line) => {
    const [destination, mask, router = "", , metric] = line.trim().split(/\s+/);
    const isDefault = destination === "0.0.0.0" && mask === "0.0.0.0" && isIPv4(router);
    return isDefault && router !== "0.0.0.0" ? [{ router, metric: Number(metric) }] : [];
  });
  // Routes that were set for good stand there a second time, with “Default” as their metric.
  const [first] = routes.toSorted((a, b) => (a.metric || Infinity) - (b.metric || Infinity));
  return first?.router ?? null;
}

/** Destination, router, flags, interface. */
export function bsdRouter(table: string): string | null {
  const [, router = ""] = /^default\s+(\S+)/m.exec(table) ?? [];
  return isIPv4(router) ? router : null;
}
