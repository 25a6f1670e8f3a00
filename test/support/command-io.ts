/** Runs the command line inside the test's process and catches what it writes. */
import { Writable } from "node:stream";
import type { CommandIo } from "../../installer/command.ts";
import { main } from "../../installer/main.ts";

/** A stream that keeps everything written to it, and says "written" each time. */
export function captureStream(): Writable & { text: () => string } {
  const chunks: string[] = [];
  const stream: Writable = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(String(chunk));
      done();
      stream.emit("written");
    },
  });
  return Object.assign(stream, { text: () => chunks.join("") });
}

/** Runs `./homing ARGS`; resolves to exit code and output. */
export async function runHoming(
  args: readonly string[],
  signal: AbortSignal = new AbortController().signal,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const stdout = captureStream();
  const stderr = captureStream();
  const io: CommandIo = { stdout, stderr, env: process.env, signal };
  const code = await main(args, io);
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}
