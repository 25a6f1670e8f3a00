/**
 * The thread that decompresses .xz for image/formats/xz.ts: one message in, one message out. A file of its
 * own because worker threads start from a file.
 */
import { parentPort } from "node:worker_threads";
import { decompressXzHere } from "./xz-stream.ts";

export type XzRequest = Readonly<{ id: number; bytes: Uint8Array }>;
export type XzReply = Readonly<{ id: number; content: Uint8Array } | { id: number; problem: string }>;

parentPort?.on("message", async ({ id, bytes }: XzRequest) => {
  try {
    const content = await decompressXzHere(bytes);
    const reply: XzReply = { id, content };
    parentPort?.postMessage(reply, [content.buffer]);
  } catch (error) {
    const reply: XzReply = { id, problem: error instanceof Error ? error.message : String(error) };
    parentPort?.postMessage(reply);
  }
});
