/** Clients of port 443 for mux.ts: each says a ClientHello that Node's TLS said, and then asks the back end behind it. */
import { connect, createServer, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** What a back end does: one byte and the end, one byte and silence, repeat, or so many MiB and the end. */
export const commands = { answer: "C", hold: "I", echo: "P", download: "G" } as const;

/** A connection without an answer for so long has stalled. Milliseconds. */
const STALL_MS = 3000;

/** A ClientHello that offers `protocol`. */
export function recordHello(protocol: string): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (hello: Buffer) => {
        socket.destroy();
        server.close();
        resolve(hello);
      });
    }).listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      connectTls({ port, host: "127.0.0.1", servername: "chat.example", ALPNProtocols: [protocol] }).on(
        "error",
        () => {},
      );
    });
  });
}

export type Client = Readonly<{
  port: number;
  hello: Buffer /** The back end's name, which it answers with. */;
  name: string;
}>;

function ask(command: string, amount = 0): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.write(command);
  bytes.writeUInt32BE(amount, 1);
  return bytes;
}

function open({ port, hello }: Client, command: string, amount?: number): Socket {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  socket.on("connect", () => socket.write(Buffer.concat([hello, ask(command, amount)])));
  return socket;
}

/** One connection with an answer: milliseconds to its first byte. Throws when it stalls, breaks, or is another's. */
function once(client: Client): Promise<number> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const socket = open(client, commands.answer);
    let heard = "";
    let first = 0;
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error("stalled"));
    }, STALL_MS);
    socket.on("error", reject);
    socket.on("data", (piece) => {
      first ||= performance.now() - start;
      heard += piece;
    });
    socket.on("close", () => {
      clearTimeout(timer);
      if (heard === client.name) resolve(first);
      else reject(new Error(`heard ${JSON.stringify(heard)}`));
    });
  });
}

export type Connections = Readonly<{
  done: number;
  failed: number;
  seconds: number;
  slowestMs: number;
  medianMs: number;
}>;

/** `count` connections, `parallel` at once, until the time is up. */
export async function connections(
  client: Client,
  count: number,
  parallel: number,
  limitMs: number,
): Promise<Connections> {
  const start = performance.now();
  const times: number[] = [];
  let left = count;
  let failed = 0;
  const one = async () => {
    while (left-- > 0 && performance.now() - start < limitMs) {
      await once(client).then(
        (time) => times.push(time),
        () => failed++,
      );
    }
  };
  await Promise.all(Array.from({ length: parallel }, one));
  times.sort((a, b) => a - b);
  const seconds = (performance.now() - start) / 1000;
  return {
    done: times.length,
    failed,
    seconds,
    slowestMs: times.at(-1) ?? 0,
    medianMs: times[times.length >> 1] ?? 0,
  };
}

/** Each of `count` connections downloads so many MiB: MB a second of all. Throws when bytes are missing. */
export async function download(client: Client, count: number, mebibytes: number): Promise<number> {
  const buffer = Buffer.allocUnsafeSlow(1 << 18);
  let total = 0;
  const start = performance.now();
  const one = () =>
    new Promise<void>((resolve, reject) => {
      const onread = {
        buffer,
        callback: (bytes: number) => {
          total += bytes;
          return true;
        },
      };
      const socket = connect({ port: client.port, host: "127.0.0.1", noDelay: true, onread });
      socket.on("connect", () =>
        socket.write(Buffer.concat([client.hello, ask(commands.download, mebibytes)])),
      );
      socket.on("error", reject);
      socket.on("close", () => resolve());
    });
  await Promise.all(Array.from({ length: count }, one));
  if (total !== count * mebibytes * 2 ** 20) throw new Error(`${total} bytes came`);
  return total / 1e6 / ((performance.now() - start) / 1000);
}

/** `rounds` of 64 bytes there and back on one connection, one after the other: the median, in microseconds. */
export function roundTrips(client: Client, rounds: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = open(client, commands.echo);
    const message = Buffer.alloc(64, 1);
    const times: number[] = [];
    let sent = 0;
    let begun = false;
    const go = () => {
      sent = performance.now();
      socket.write(message);
    };
    socket.on("error", reject);
    socket.on("data", () => {
      if (begun) times.push((performance.now() - sent) * 1000);
      begun = true;
      if (times.length < rounds) return go();
      socket.destroy();
      times.sort((a, b) => a - b);
      resolve(times[times.length >> 1]!);
    });
  });
}

/** So many connections that are answered once and then stay; those that failed are left out. */
export async function holdOpen(client: Client, count: number): Promise<readonly Socket[]> {
  const held: Socket[] = [];
  for (let i = 0; i < count; i++) {
    const socket = open(client, commands.hold);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, STALL_MS);
      const end = (isHeld: boolean) => {
        clearTimeout(timer);
        if (isHeld) held.push(socket);
        resolve();
      };
      socket.once("data", () => end(true));
      socket.on("error", () => end(false));
    });
  }
  return held;
}
