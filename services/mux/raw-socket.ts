/**
 * Sockets for a program that only passes bytes on: Node's own handles, which its net module stands on, without the
 * streams around them. Two net.Sockets for each connection cost nearly twice the CPU and the memory
 * (docs/architecture.md). The one place that touches these handles; they belong to the Node that the image brings, and
 * their absence stops the service at its start. Called by service.ts and connection.ts.
 *
 * All sockets are read into one buffer; what is written is copied into a chunk first, which the kernel nearly always
 * takes at once. Only while it does not, a chunk stays with its socket.
 */
import type { Server } from "node:net";

/**
 * One read, and the size of a chunk. An attacker who reads nothing holds one for each direction of a connection.
 * Larger ones are hardly faster (test/bench/mux.ts).
 */
export const CHUNK_BYTES = 32_768;
/** Chunks kept for the next time; more are given back to the system. */
const KEPT_CHUNKS = 64;

/** What a user of sockets is told; one object for all of them. */
export type SocketEvents<Owner> = Readonly<{
  /** `bytes` are overwritten after the call. */
  read(socket: RawSocket<Owner>, bytes: Buffer): void;
  /** The other side will send nothing more. */
  ended(socket: RawSocket<Owner>): void;
  /** What `write` said is pending is written. */
  written(socket: RawSocket<Owner>): void;
  /** `connect` is through. */
  connected(socket: RawSocket<Owner>): void;
  /** Broken, in whatever was under way. `code` is the system's, negative. */
  failed(socket: RawSocket<Owner>, code: number): void;
}>;

export type RawSocket<Owner> = {
  readonly handle: Handle;
  readonly events: SocketEvents<Owner>;
  /** Who uses it; set by the user. */
  owner: Owner | undefined;
  isReading: boolean;
  isClosed: boolean;
};

/** An address of the kernel's, in its own words. */
export type Endpoint = { address: string; port: number };
export type Ends = Readonly<{ peer: Endpoint; local: Endpoint }>;

/** The parts of Node's handles that are used here (lib/net.js, src/stream_base.cc). Codes below 0 are errors. */
type Handle = {
  onread: (this: Handle) => void;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  shutdown(request: Request): number;
  close(): void;
  getpeername(into: Partial<Endpoint>): number;
  getsockname(into: Partial<Endpoint>): number;
  setNoDelay(isOn: boolean): number;
  connect(request: Request, target: string, port?: number): number;
  [user]: RawSocket<unknown>;
};
type Request = { oncomplete: (this: Request, status: number) => void; socket: RawSocket<unknown> };
type WriteRequest = { oncomplete: (this: WriteRequest, status: number) => void } & {
  socket: RawSocket<unknown> | undefined;
  chunk: Buffer | undefined;
};
type New<T> = new (type?: number) => T;
type Bindings = Readonly<{
  tcp_wrap: { TCP: New<Handle>; TCPConnectWrap: New<Request>; constants: { SOCKET: number } };
  pipe_wrap: { Pipe: New<Handle>; PipeConnectWrap: New<Request>; constants: { SOCKET: number } };
  stream_wrap: {
    WriteWrap: New<WriteRequest>;
    ShutdownWrap: New<Request>;
    streamBaseState: Int32Array;
    kReadBytesOrError: number;
    kLastWriteWasAsync: number;
  };
}>;

/** This Node has no such handles: the image brings one that has. */
export class NodeHandlesError extends Error {
  override name = "NodeHandlesError";
}

const user = Symbol("user");
const { tcp_wrap: tcp, pipe_wrap: pipe, stream_wrap: stream } = bindings();
const { streamBaseState: state, kReadBytesOrError, kLastWriteWasAsync, WriteWrap, ShutdownWrap } = stream;

/** uv.h, UV_EOF. */
const END_OF_FILE = -4095;

const readBuffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
const freeChunks: Buffer[] = [];
let spareRequest: WriteRequest | undefined;

/** Takes the connections of a server that does not listen yet: `accepted` gets them instead of its event. */
export function acceptFrom<Owner>(
  server: Server,
  events: SocketEvents<Owner>,
  accepted: (socket: RawSocket<Owner>) => void,
): void {
  // It is said before the first connection can be there, for no I/O comes in between.
  server.once("listening", () => {
    const { _handle: listening } = server as unknown as {
      _handle?: Handle & { onconnection: (error: number, handle: Handle) => void };
    };
    if (listening?.onconnection === undefined) throw new NodeHandlesError("Node's servers have no handle");
    // Linux hands it on to what is accepted.
    listening.setNoDelay(true);
    listening.onconnection = (error, handle) => {
      // The client went away before we came to it.
      if (error === 0) accepted(attach(handle, events, undefined));
    };
  });
}

/** Begins to connect: `connected` or `failed` follows. A code below 0: it failed already, and neither follows. */
export function connectRaw<Owner>(
  target: Readonly<{ path: string } | { host: string; port: number }>,
  events: SocketEvents<Owner>,
  owner: Owner,
): { socket: RawSocket<Owner>; code: number } {
  const isPath = "path" in target;
  const handle = isPath ? new pipe.Pipe(pipe.constants.SOCKET) : new tcp.TCP(tcp.constants.SOCKET);
  const socket = attach(handle, events, owner);
  const request = isPath ? new pipe.PipeConnectWrap() : new tcp.TCPConnectWrap();
  request.oncomplete = onConnect;
  request.socket = socket;
  // A connection of Pipe that fails at once says so in oncomplete or here, by the version of libuv.
  const code = isPath
    ? handle.connect(request, target.path)
    : handle.connect(request, target.host, target.port);
  if (code === 0 && !isPath) handle.setNoDelay(true);
  return { socket, code: code ?? 0 };
}

/** Both addresses of a TCP connection; undefined when it is already broken. */
export function endpoints(socket: RawSocket<unknown>): Ends | undefined {
  const [peer, local]: Partial<Endpoint>[] = [{}, {}];
  const { handle } = socket;
  if (handle.getpeername(peer!) !== 0 || handle.getsockname(local!) !== 0) return undefined;
  return { peer: peer as Endpoint, local: local as Endpoint };
}

export function startReading(socket: RawSocket<unknown>): void {
  if (socket.isReading || socket.isClosed) return;
  socket.isReading = true;
  const code = socket.handle.readStart();
  if (code < 0) socket.events.failed(socket, code);
}

export function stopReading(socket: RawSocket<unknown>): void {
  if (!socket.isReading || socket.isClosed) return;
  socket.isReading = false;
  socket.handle.readStop();
}

/**
 * Writes a copy. "pending": `written` or `failed` follows, and there must be no further write
 * before. "failed": the user is told nothing more.
 */
export function write(socket: RawSocket<unknown>, bytes: Buffer): "done" | "pending" | "failed" {
  const isLarge = bytes.length > CHUNK_BYTES;
  const chunk =
    (isLarge ? undefined : freeChunks.pop()) ?? Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, bytes.length));
  bytes.copy(chunk);
  const request = spareRequest ?? new WriteWrap();
  spareRequest = undefined;
  request.oncomplete = onWritten;
  const code = socket.handle.writeBuffer(request, chunk.subarray(0, bytes.length));
  if (code === 0 && state[kLastWriteWasAsync] !== 0) {
    // They live until oncomplete: the kernel is given the chunk's memory piece by piece.
    request.socket = socket;
    request.chunk = chunk;
    return "pending";
  }
  keep(chunk);
  if (code !== 0) return "failed";
  // Written at once: Node has not touched the request.
  spareRequest = request;
  return "done";
}

/** Says "that was all" behind what is pending; `failed` may follow. */
export function shutdown(socket: RawSocket<unknown>): void {
  if (socket.isClosed) return;
  const request = new ShutdownWrap();
  request.oncomplete = onShut;
  request.socket = socket;
  const code = socket.handle.shutdown(request);
  if (code < 0) socket.events.failed(socket, code);
}

/** No event comes after it. */
export function close(socket: RawSocket<unknown>): void {
  if (socket.isClosed) return;
  socket.isClosed = true;
  socket.handle.close();
}

function attach<Owner>(
  handle: Handle,
  events: SocketEvents<Owner>,
  owner: Owner | undefined,
): RawSocket<Owner> {
  const socket: RawSocket<Owner> = { handle, events, owner, isReading: false, isClosed: false };
  handle[user] = socket as RawSocket<unknown>;
  handle.onread = onRead;
  handle.useUserBuffer(readBuffer);
  return socket;
}

function onRead(this: Handle): void {
  const socket = this[user];
  const count = state[kReadBytesOrError]!;
  // 0: there was nothing to read after all.
  if (socket.isClosed || count === 0) return;
  if (count > 0) socket.events.read(socket, readBuffer.subarray(0, count));
  else if (count === END_OF_FILE) socket.events.ended(socket);
  else socket.events.failed(socket, count);
}

function onConnect(this: Request, status: number): void {
  const { socket } = this;
  if (socket.isClosed) return;
  if (status < 0) socket.events.failed(socket, status);
  else socket.events.connected(socket);
}

function onWritten(this: WriteRequest, status: number): void {
  const socket = this.socket!;
  // Also after close: from here on nobody reads the chunk's memory.
  keep(this.chunk!);
  this.chunk = undefined;
  if (socket.isClosed) return;
  if (status < 0) socket.events.failed(socket, status);
  else socket.events.written(socket);
}

function onShut(this: Request, status: number): void {
  const { socket } = this;
  if (status < 0 && !socket.isClosed) socket.events.failed(socket, status);
}

function keep(chunk: Buffer): void {
  if (chunk.length === CHUNK_BYTES && freeChunks.length < KEPT_CHUNKS) freeChunks.push(chunk);
}

function bindings(): Bindings {
  const { binding } = process as unknown as { binding?: (name: string) => unknown };
  const found = Object.fromEntries(
    (["tcp_wrap", "pipe_wrap", "stream_wrap"] as const).map((name) => [name, binding?.(name)]),
  ) as Bindings;
  const isWhole = found.tcp_wrap?.TCP && found.pipe_wrap?.Pipe && found.stream_wrap?.streamBaseState;
  if (!isWhole) throw new NodeHandlesError(`Node ${process.version} has no handles to use`);
  return found;
}
