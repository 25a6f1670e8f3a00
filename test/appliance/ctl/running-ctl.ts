/** homing-ctl's verbs beside a control socket of the real account service. Used by the tests of this folder. */
import { mkdtemp, rm } from "node:fs/promises";
import type { Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import type { CtlIo } from "../../../appliance/ctl/command.ts";
import { askControl, askControlLines } from "../../../appliance/ctl/control-client.ts";
import { openLastLogins } from "../../../appliance/ctl/last-logins.ts";
import { runCtl } from "../../../appliance/ctl/main.ts";
import { createAccountRequests } from "../../../services/auth/account-requests.ts";
import { createControlServer } from "../../../services/auth/control-server.ts";
import { createSignUpMode } from "../../../services/auth/sign-up-mode.ts";
import { type AccountStore, openAccountStore } from "../../../services/auth/store.ts";
import { listenSocket } from "../../../services/lib/listen.ts";
import { createLog } from "../../../services/lib/log.ts";

/** 2027-01-15 08:00 UTC. */
export const now = 1_800_000_000;
const log = createLog(() => {});

export type RunningCtl = {
  folder: string;
  store: AccountStore;
  server: Server;
  /** How often the page on the console was made anew by the last command. */
  renewals: number;
  /** What stands in for parts of the device in the next commands. */
  io: Partial<CtlIo>;
  run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
};

/** A new one for each test of the describe block that calls it. */
export function useCtl(): RunningCtl {
  const at = {} as RunningCtl;
  beforeEach(async () => {
    const folder = await mkdtemp(join(tmpdir(), "homing-ctl-"));
    const socket = join(folder, "control.sock");
    const store = openAccountStore({
      path: join(folder, "accounts.sqlite"),
      writerProgram: new URL("../../../services/auth/store-writer.ts", import.meta.url),
      log,
    });
    const mode = await createSignUpMode({ store, settings: "open", log });
    const domain = "chat.example.org";
    const accounts = createAccountRequests({ domain, store, log });
    const { invites } = store;
    const server = createControlServer({ domain, mode, invites, accounts, now: () => now, log });
    await listenSocket(server, { name: "control", path: socket, mode: 0o600 });
    const run: RunningCtl["run"] = async (...args) => {
      let [stdout, stderr] = ["", ""];
      at.renewals = 0;
      const code = await runCtl(args, {
        stdout: { write: (text) => (stdout += text) },
        stderr: { write: (text) => (stderr += text) },
        ask: askControl(socket),
        askLines: askControlLines(socket),
        lastLogins: (tell) => openLastLogins(join(folder, "metadata.sock"), tell),
        run: async (program) => Promise.reject(new Error(`${program} is not to be run here`)),
        // biome-ignore lint/correctness/useYield: whoever lets a program run here says what it prints.
        async *runLines(program) {
          throw new Error(`${program} is not to be run here`);
        },
        confirm: async () => false,
        pause: async () => {},
        renewStatus: async () => {
          at.renewals += 1;
        },
        now: () => now,
        ...at.io,
      });
      return { code, stdout, stderr };
    };
    Object.assign(at, { folder, store, server, renewals: 0, io: {}, run });
  });
  afterEach(async () => {
    at.server.close();
    at.server.closeAllConnections();
    await at.store.close();
    await rm(at.folder, { recursive: true });
  });
  return at;
}
