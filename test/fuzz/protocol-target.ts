/**
 * The milter protocol's parser for the fuzzer: whatever a peer sends, the only error is the protocol's own, and
 * the packets are the same however the stream is cut.
 */
import { Readable } from "node:stream";
import * as protocol from "../../services/milter/protocol.ts";
import type { Outcome } from "./targets.ts";

const decoders: Readonly<Record<string, (data: Buffer) => unknown>> = {
  O: protocol.negotiate,
  C: protocol.decodeConnect,
  D: protocol.decodeMacros,
  M: protocol.decodeAddress,
  R: protocol.decodeAddress,
  L: protocol.decodeHeader,
};

export async function protocolOutcome(input: string): Promise<Outcome> {
  const bytes = Buffer.from(input, "latin1");
  const whole = await conversation([bytes]);
  const cut = await conversation(Array.from(bytes, (_, index) => bytes.subarray(index, index + 1)));
  return {
    outcome: whole.split("\n").at(-1)!,
    contradiction: whole === cut ? null : "the packets depend on how the stream is cut",
  };
}

/** The packets and what is in them as text; the last line says how it ended. Any other error goes up. */
async function conversation(pieces: readonly Buffer[]): Promise<string> {
  const said: string[] = [];
  try {
    for await (const { command, data } of protocol.readPackets(Readable.from(pieces))) {
      said.push(JSON.stringify([command, data.toString("latin1"), decoded(command, data)]));
    }
    return [...said, `${said.length} packets`].join("\n");
  } catch (error) {
    if (!(error instanceof protocol.MilterProtocolError)) throw error;
    return [...said, `${said.length} packets, then: ${error.message}`].join("\n");
  }
}

function decoded(command: string, data: Buffer): unknown {
  try {
    return decoders[command]?.(data);
  } catch (error) {
    if (error instanceof protocol.MilterProtocolError) return error.message;
    throw error;
  }
}
