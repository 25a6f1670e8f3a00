import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listenSocket, systemdDescriptor } from "../../../services/lib/listen.ts";

const socketActivate = "/usr/bin/systemd-socket-activate";

describe("systemdDescriptor", () => {
  const environment = { LISTEN_PID: "77", LISTEN_FDS: "2", LISTEN_FDNAMES: "first:second" };

  it("finds the descriptor by the name its .socket unit gave it", () => {
    expect(systemdDescriptor("first", environment, 77)).toBe(3);
    expect(systemdDescriptor("second", environment, 77)).toBe(4);
  });

  it("ignores descriptors meant for another process, and none at all", () => {
    expect(systemdDescriptor("first", environment, 78)).toBeUndefined();
    expect(systemdDescriptor("first", {}, 77)).toBeUndefined();
  });

  it("says what to set when the name is not among those passed", () => {
    expect(() => systemdDescriptor("third", environment, 77)).toThrow(/FileDescriptorName=third/);
  });
});

describe("listenSocket", () => {
  let folder: string;
  const servers: Server[] = [];
  const newServer = (): Server => {
    const server = createServer((socket) => {
      socket.on("error", () => socket.destroy());
      socket.end("hello");
    });
    servers.push(server);
    return server;
  };
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-listen-"));
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) server.close();
    await rm(folder, { recursive: true });
  });

  it("opens a socket with the permissions asked for", async () => {
    const path = join(folder, "a.sock");
    await listenSocket(newServer(), { name: "a", path, mode: 0o600 });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("takes over the socket file that a killed process left", async () => {
    const path = join(folder, "a.sock");
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => console.log("up"))`;
    const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    await listenSocket(newServer(), { name: "a", path });
    const client = connect(path);
    const [data] = await once(client, "data");
    expect(String(data)).toBe("hello");
  });

  it("refuses to push a living listener aside", async () => {
    const path = join(folder, "a.sock");
    await listenSocket(newServer(), { name: "a", path });
    await expect(listenSocket(newServer(), { name: "a", path })).rejects.toMatchObject({
      name: "SocketInUseError",
    });
  });

  it("removes nothing that is not a socket", async () => {
    const path = join(folder, "precious");
    await writeFile(path, "data");
    await expect(listenSocket(newServer(), { name: "a", path })).rejects.toThrow(/is not a socket/);
  });

  it("reports a port that is taken", async () => {
    const first = newServer();
    await listenSocket(first, { name: "a", host: "127.0.0.1", port: 0 });
    const address = first.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    await expect(listenSocket(newServer(), { name: "a", host: "127.0.0.1", port })).rejects.toMatchObject({
      code: "EADDRINUSE",
    });
  });

  it.skipIf(!existsSync(socketActivate))(
    "accepts connections on the socket that systemd hands over (needs systemd-socket-activate)",
    async () => {
      const path = join(folder, "activated.sock");
      const library = join(import.meta.dirname, "../../../services/lib/listen.ts");
      const script = `
        const { createServer } = await import("node:net");
        const { listenSocket } = await import(${JSON.stringify(library)});
        await listenSocket(createServer((s) => s.end("activated")), { name: "auth", path: "/nonexistent/x" });`;
      const child = spawn(
        socketActivate,
        [`--listen=${path}`, "--fdname=auth", process.execPath, "--input-type=module", "-e", script],
        { stdio: ["ignore", "inherit", "pipe"] },
      );
      try {
        await once(child.stderr, "data"); // "Listening on …"
        const [data] = await once(connect(path), "data");
        expect(String(data)).toBe("activated");
      } finally {
        child.kill();
        await once(child, "exit");
      }
    },
  );
});
