/**
 * A QEMU that runs, under control: its end, the power button, the power cut. Made by machine.ts. The button is pressed
 * by the QEMU Machine Protocol (QEMU's docs/interop/qmp-spec) over a socket.
 */
import type { ChildProcess } from "node:child_process";
import { connect } from "node:net";

export type Control = Readonly<{
  /** Resolves when QEMU has ended, whoever ended it. */
  ended: Promise<void>;
  /** Presses the power button and waits; after `limitMilliseconds` QEMU is ended as by a power cut. */
  shutDown: (limitMilliseconds: number) => Promise<void>;
  /** A power cut. */
  kill: () => Promise<void>;
}>;

/** Controls the process; `afterwards` is done once it has ended, before `ended` resolves. */
export function controlMachine(
  child: ChildProcess,
  controlSocket: string,
  afterwards: () => Promise<void>,
): Control {
  const ended = new Promise<void>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once("exit", () => resolve());
  }).then(afterwards);
  const kill = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  return {
    ended,
    kill,
    shutDown: async (limitMilliseconds) => {
      const limit = AbortSignal.timeout(limitMilliseconds);
      try {
        await pressPowerButton(controlSocket, limit);
        await Promise.race([ended, aborted(limit)]);
      } catch {
        // Time is up, or no control connection: QEMU is ending already, or hangs. Either way it must not stay.
        await kill();
      }
    },
  };
}

/** Rejects when the signal is aborted. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** Greeting, capabilities, then `system_powerdown`. Rejects when QEMU hangs up, or with the reason of the signal. */
function pressPowerButton(controlSocket: string, limit: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: controlSocket });
    let received = "";
    let asked = false;
    limit.addEventListener("abort", () => {
      socket.destroy();
      reject(limit.reason);
    });
    socket.setEncoding("utf8").on("data", (text: string) => {
      received += text;
      if (!asked && received.includes('"QMP"')) {
        asked = true;
        socket.write('{"execute":"qmp_capabilities"}\n{"execute":"system_powerdown"}\n');
      }
      if (received.includes("POWERDOWN")) {
        socket.destroy();
        resolve();
      }
    });
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("QEMU closed its control connection")));
  });
}
