/**
 * A bare connection that writes what it is told and keeps all it hears: for conversations that no mail program
 * would have, and for connections that only stand there. Text is Latin-1, so that every byte can be said.
 */
import { connect as connectTcp, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { waitFor } from "./wait.ts";

/** Longest wait for a server's answer or end, in milliseconds; tests of longer patience give their own. */
const PATIENCE = 30_000;

export type RawConnection = AsyncDisposable &
  Readonly<{
    /** Resolves when the bytes are handed to the kernel; an error of the socket shows as its end. */
    write: (bytes: string | Uint8Array) => Promise<void>;
    /** All that was heard since the connection, or its TLS, began. */
    heard: () => string;
    /** What was heard, once the pattern matches it. Throws after some patience, or when the server ends first. */
    until: (pattern: RegExp) => Promise<string>;
    /** What was heard, once the server has ended the connection. */
    rest: (patience?: number) => Promise<string>;
    isOpen: () => boolean;
    /** A TLS handshake on top of what there is. Throws when it fails. */
    secure: (options?: ConnectionOptions) => Promise<TLSSocket>;
  }>;

export type RawOptions = Readonly<{
  host: string;
  port: number;
  /** The address to come from, one of the test machine's own. */
  localAddress?: string;
}>;

/** Connects over TCP. Throws when the connection is refused or not answered. */
export async function openRaw(options: RawOptions): Promise<RawConnection> {
  const plain = connectTcp({ ...options, noDelay: true });
  let socket: Socket = plain;
  let heard = "";
  let isOpen = true;
  let failure: Error | undefined;
  const listen = () => {
    socket.on("data", (chunk: Buffer) => {
      heard += chunk.toString("latin1");
    });
    socket.on("error", (error) => {
      failure = error;
    });
    socket.once("close", () => {
      isOpen = false;
    });
  };
  listen();
  const place = `${options.host}:${options.port}`;
  await waitFor(`${place} takes the connection`, PATIENCE, () => failure !== undefined || !plain.connecting);
  if (failure !== undefined) throw failure;
  return {
    write: (bytes) =>
      new Promise((resolve) => {
        socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes, () => resolve());
      }),
    heard: () => heard,
    until: (pattern) =>
      waitFor(`${place} says ${pattern}`, PATIENCE, () => {
        if (pattern.test(heard)) return heard;
        if (!isOpen) throw new Error(`${place} ended the connection after ${JSON.stringify(heard)}`);
        return undefined;
      }),
    rest: async (patience = PATIENCE) => {
      await waitFor(`${place} ends the connection`, patience, () => !isOpen);
      return heard;
    },
    isOpen: () => isOpen,
    secure: async (tls = {}) => {
      heard = "";
      socket.removeAllListeners("data");
      const secured = connectTls({ socket, rejectUnauthorized: false, ...tls });
      socket = secured;
      listen();
      let isSecure = false;
      secured.once("secureConnect", () => {
        isSecure = true;
      });
      await waitFor(
        `a TLS handshake with ${place}`,
        PATIENCE,
        () => isSecure || failure !== undefined || !isOpen,
      );
      if (failure !== undefined) throw failure;
      if (!isOpen) throw new Error(`${place} ended the connection in the TLS handshake`);
      return secured;
    },
    [Symbol.asyncDispose]: async () => {
      socket.destroy();
      plain.destroy();
    },
  };
}

/** Connects and says STARTTLS where the port has no TLS of its own, so that a handshake can follow. */
export async function openForTls(host: string, port: number): Promise<RawConnection> {
  const raw = await openRaw({ host, port });
  if (port === 25 || port === 587) {
    await raw.until(/^220 /m);
    await raw.write("EHLO client.test\r\n");
    await raw.until(/^250 /m);
    await raw.write("STARTTLS\r\n");
    await raw.until(/^220 .*TLS/m);
  } else if (port === 143) {
    await raw.until(/^\* OK \[/m);
    await raw.write("s STARTTLS\r\n");
    await raw.until(/^s OK/m);
  }
  return raw;
}
