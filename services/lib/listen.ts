/**
 * Opens the socket a service listens on. On the device systemd has opened it already and hands it over
 * (socket activation, sd_listen_fds(3)), so connections wait in the queue while a service restarts; in
 * tests and by hand the service opens it itself. Called by every service's main.ts.
 */
import { chmod, lstat, unlink } from "node:fs/promises";
import { connect, type Server } from "node:net";

/** sd_listen_fds(3), SD_LISTEN_FDS_START: the first passed descriptor. */
const firstListenDescriptor = 3;

/**
 * Connections the kernel holds until we accept them: a hundred clients that wake at once must find room.
 * (Where systemd opens the socket, its Backlog= counts instead.)
 */
const listenBacklog = 512;

/** Where to listen when systemd passed nothing under `name`. */
export type ListenTarget = Readonly<
  | { name: string; path: string /** Permission bits of the socket, 0o660 unless given. */; mode?: number }
  | { name: string; host: string; port: number }
>;

/** Another process is already listening there, or something that is no socket lies in the way. */
export class SocketInUseError extends Error {
  override name = "SocketInUseError";
}

/**
 * The descriptor systemd passed under this name (FileDescriptorName= of the .socket unit), or undefined.
 * Variables meant for another process (LISTEN_PID) do not count.
 * @throws Error when systemd passed sockets but none is called `name`.
 */
export function systemdDescriptor(
  name: string,
  environment: NodeJS.ProcessEnv,
  processId: number,
): number | undefined {
  if (environment.LISTEN_PID !== String(processId)) return undefined;
  const count = Number(environment.LISTEN_FDS ?? 0);
  if (!Number.isInteger(count) || count < 1) return undefined;
  const names = (environment.LISTEN_FDNAMES ?? "").split(":");
  const index = names.slice(0, count).indexOf(name);
  if (index < 0) {
    throw new Error(
      `systemd passed sockets named "${names.join('", "')}", none is "${name}": ` +
        `set FileDescriptorName=${name} in the .socket unit`,
    );
  }
  return firstListenDescriptor + index;
}

/**
 * Starts `server` on the socket systemd passed under `target.name`, else on the path or address given.
 * A left-over socket file of a dead process is removed; a live one is an error.
 * @throws SocketInUseError, or the error of listen(2).
 */
export async function listenSocket(server: Server, target: ListenTarget): Promise<void> {
  const descriptor = systemdDescriptor(target.name, process.env, process.pid);
  if (descriptor !== undefined) {
    await listening(server, () => server.listen({ fd: descriptor }));
    return;
  }
  if ("path" in target) {
    await removeDeadSocket(target.path);
    await listening(server, () => server.listen({ path: target.path, backlog: listenBacklog }));
    await chmod(target.path, target.mode ?? 0o660);
    return;
  }
  await listening(server, () =>
    server.listen({ host: target.host, port: target.port, backlog: listenBacklog }),
  );
}

function listening(server: Server, start: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => {
      server.off("listening", onListening);
      reject(error);
    };
    const onListening = (): void => {
      server.off("error", onError);
      resolve();
    };
    server.once("error", onError);
    server.once("listening", onListening);
    start();
  });
}

async function removeDeadSocket(path: string): Promise<void> {
  const status = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (status === undefined) return;
  if (!status.isSocket()) {
    throw new SocketInUseError(`${path} exists and is not a socket: move it away and start again`);
  }
  if (await somebodyAnswers(path)) {
    throw new SocketInUseError(`another process already listens on ${path}: stop it first`);
  }
  await unlink(path);
}

function somebodyAnswers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
}
