/**
 * The servers behind port 443 in a process of their own, for mux.ts: they take off a PROXY header of either version, or
 * do without, skip the ClientHello and then do what a byte and a number of 32 bits ask for. Says its ports as JSON.
 */
import { createServer, type Socket } from "node:net";
import { commands } from "./mux-load.ts";

const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const BLOCK = Buffer.alloc(1 << 18, 120);

/** The command and its number once they are there, behind header and hello. */
function readCommand(bytes: Buffer): { command: string; amount: number } | undefined {
  let at = 0;
  if (bytes.length < 16) return undefined;
  if (bytes.subarray(0, 12).equals(SIGNATURE)) at = 16 + bytes.readUInt16BE(14);
  else if (bytes.toString("latin1", 0, 6) === "PROXY ") at = bytes.indexOf("\r\n") + 2;
  if (bytes.length < at + 5) return undefined;
  at += 5 + bytes.readUInt16BE(at + 3);
  if (bytes.length < at + 5) return undefined;
  return { command: String.fromCharCode(bytes[at]!), amount: bytes.readUInt32BE(at + 1) };
}

function serve(socket: Socket, name: string): void {
  let bytes = Buffer.alloc(0);
  socket.on("error", () => {});
  const gather = (piece: Buffer) => {
    bytes = Buffer.concat([bytes, piece]);
    const asked = readCommand(bytes);
    if (asked === undefined) return;
    socket.off("data", gather);
    if (asked.command === commands.answer) socket.end(name);
    else if (asked.command === commands.hold) socket.resume().write(name);
    else if (asked.command === commands.echo) {
      socket.write(name);
      socket.pipe(socket);
    } else send(socket, asked.amount * 4);
  };
  socket.on("data", gather);
}

/** So many blocks of a quarter of a MiB. */
function send(socket: Socket, blocks: number): void {
  socket.resume();
  const go = (): void => {
    while (blocks-- > 0) {
      if (socket.write(BLOCK)) continue;
      socket.once("drain", go);
      return;
    }
    socket.end();
  };
  go();
}

const servers = ["i", "s", "w"].map((name) =>
  createServer({ noDelay: true }, (socket) => serve(socket, name)).listen({
    ...{ host: "127.0.0.1", port: 0, backlog: 4096 },
  }),
);
await Promise.all(servers.map((server) => new Promise((resolve) => server.once("listening", resolve))));
console.log(JSON.stringify(servers.map((server) => (server.address() as { port: number }).port)));
