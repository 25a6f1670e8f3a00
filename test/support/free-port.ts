/** TCP ports of the loopback address for programs that cannot choose free ones themselves. */
import type { ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import { waitFor } from "./wait.ts";

/** Another program may take a port between the look and the start; it hardly happens twice in a row. */
const ATTEMPTS = 5;
const START_TIMEOUT = 20_000;

/** One that nobody uses just now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

export type ServerProgram = Readonly<{ process: ChildProcess; port: number }>;

/**
 * Starts a program that listens at a free port, and waits until `isUp`. `start` is called again with another port when
 * the program ends at once; `logFile` is named when it does so every time.
 */
export async function startAtFreePort(
  name: string,
  logFile: string,
  start: (port: number) => Promise<ChildProcess>,
  isUp: (port: number) => Promise<boolean>,
): Promise<ServerProgram> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const port = await freePort();
    const process = await start(port);
    const state = await waitFor(`${name} answers`, START_TIMEOUT, async () => {
      if (process.exitCode !== null) return "ended";
      return (await isUp(port)) && "up";
    });
    if (state === "up" && process.exitCode === null) return { process, port };
  }
  throw new Error(`${name} ends as soon as it is started; see ${logFile}`);
}
