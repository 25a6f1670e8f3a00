/** The control of a QEMU that runs, with programs in its place that answer as a QEMU does, badly, or not at all. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { controlMachine } from "../../../installer/vm/machine-control.ts";

/** A QEMU without a disk: it runs until it is ended. */
const forever = "setInterval(() => {}, 1000)";
const greeting = '{"QMP": {"version": {}, "capabilities": []}}\r\n';
/** Long enough for what answers at once, on a busy machine too. */
const PATIENT = 20_000;

describe.skipIf(process.platform === "win32")("a machine under control (needs Unix sockets)", () => {
  let folder: string;
  let child: ChildProcess;
  let tidied = 0;
  const sockets: Socket[] = [];
  let stopServer: () => void = () => {};
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-qmp-"));
    tidied = 0;
    child = spawn(process.execPath, ["-e", forever], { stdio: "ignore" });
  });
  afterEach(async () => {
    child.kill("SIGKILL");
    for (const socket of sockets.splice(0)) socket.destroy();
    stopServer();
    await rm(folder, { recursive: true });
  });

  /** Serves the control socket; `converse` gets every connection. */
  async function control(converse?: (socket: Socket) => void) {
    const path = join(folder, "qmp");
    if (converse !== undefined) {
      const server = createServer((socket) => {
        sockets.push(socket);
        socket.on("error", () => {});
        converse(socket);
      });
      stopServer = () => server.close();
      await new Promise<void>((resolve) => server.listen(path, resolve));
    }
    return controlMachine(child, path, async () => {
      tidied++;
    });
  }
  const expectEnded = async (signal: string | null) => {
    expect([child.exitCode !== null || child.signalCode !== null, child.signalCode]).toEqual([true, signal]);
    expect(tidied).toBe(1);
  };

  it("presses the power button, waits for the end and tidies up", async () => {
    const asked: string[] = [];
    const machine = await control((socket) => {
      socket.write(greeting);
      socket.on("data", (text) => {
        asked.push(...text.toString().trim().split("\n"));
        if (asked.length < 2) return;
        socket.write('{"return": {}}\r\n{"event": "POWERDOWN"}\r\n');
        child.kill("SIGTERM");
      });
    });
    await machine.shutDown(PATIENT);
    expect(asked.map((line) => (JSON.parse(line) as { execute: string }).execute)).toEqual([
      "qmp_capabilities",
      "system_powerdown",
    ]);
    await expectEnded("SIGTERM");
  });

  it.each([
    ["takes the connection and says nothing", () => {}],
    ["greets and then says nothing", (socket: Socket) => socket.write(greeting)],
    [
      "presses the button and does not end",
      (socket: Socket) => socket.write(`${greeting}{"event": "POWERDOWN"}\r\n`),
    ],
  ])("ends a QEMU at the limit that %s", async (_what, converse) => {
    const machine = await control(converse);
    await machine.shutDown(200);
    await expectEnded("SIGKILL");
  });

  it.each([
    ["hangs up", (socket: Socket) => socket.destroy()],
    ["has no control socket", undefined],
  ])("ends a QEMU at once that %s", async (_what, converse) => {
    const machine = await control(converse);
    await machine.shutDown(PATIENT);
    await expectEnded("SIGKILL");
  });

  it("cuts the power", async () => {
    const machine = await control();
    await machine.kill();
    await machine.ended;
    await expectEnded("SIGKILL");
  });
});
