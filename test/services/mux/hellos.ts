/**
 * ClientHellos for the tests of services/mux: those that real programs say, recorded from the wire as they say them,
 * and made ones.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { type ConnectionOptions, connect } from "node:tls";

/** What `client` says first to a port of ours, up to its silence. */
async function recorded(client: (port: number) => () => void): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const stop = client(port);
  try {
    const [socket] = await once(server, "connection");
    let bytes = Buffer.alloc(0);
    for await (const piece of socket) {
      bytes = Buffer.concat([bytes, piece]);
      if (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt16BE(3)) break;
    }
    return bytes;
  } finally {
    stop();
    server.close();
  }
}

/** What Node's TLS says. */
export function nodeHello(options: ConnectionOptions = {}): Promise<Buffer> {
  return recorded((port) => {
    const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options });
    socket.on("error", () => {});
    return () => socket.destroy();
  });
}

/** What openssl(1) says, s_client with further arguments. */
export function opensslHello(args: readonly string[]): Promise<Buffer> {
  return recorded((port) => {
    const child = spawn("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...args], {
      stdio: "ignore",
    });
    child.on("error", () => {});
    return () => child.kill();
  });
}

export type MadeHello = Readonly<{
  /** Undefined: no ALPN extension. */
  protocols?: readonly string[];
  /** Extensions before and after it: type and bytes of content. */
  before?: readonly (readonly [type: number, content: Buffer])[];
  after?: readonly (readonly [type: number, content: Buffer])[];
  sessionId?: Buffer;
  ciphers?: Buffer;
}>;

const vector = (lengthBytes: 1 | 2, content: Buffer): Buffer => {
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntBE(content.length, 0, lengthBytes);
  return Buffer.concat([length, content]);
};

export function alpnExtension(protocols: readonly string[]): Buffer {
  return vector(2, Buffer.concat(protocols.map((name) => vector(1, Buffer.from(name, "latin1")))));
}

/** The handshake message (RFC 8446 §4.1.2), without records. */
export function helloMessage(made: MadeHello = {}): Buffer {
  const {
    protocols,
    before = [],
    after = [],
    sessionId = Buffer.alloc(32, 7),
    ciphers = Buffer.from([0x13, 1]),
  } = made;
  const alpn = protocols === undefined ? [] : [[16, alpnExtension(protocols)] as const];
  const extensions = [...before, ...alpn, ...after].map(([type, content]) =>
    Buffer.concat([Buffer.from([type >> 8, type & 255]), vector(2, content)]),
  );
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 9),
    vector(1, sessionId),
    vector(2, ciphers),
    vector(1, Buffer.from([0])),
    vector(2, Buffer.concat(extensions)),
  ]);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  head[0] = 1;
  return Buffer.concat([head, body]);
}

/** Puts a message into records of so many bytes each, the last size for all that is left. */
export function inRecords(message: Buffer, sizes: readonly number[] = [16_384]): Buffer {
  const records: Buffer[] = [];
  for (let at = 0, i = 0; at < message.length; i++) {
    const fragment = message.subarray(at, at + sizes[Math.min(i, sizes.length - 1)]!);
    records.push(Buffer.from([22, 3, 1]), vector(2, fragment));
    at += fragment.length;
  }
  return Buffer.concat(records);
}
