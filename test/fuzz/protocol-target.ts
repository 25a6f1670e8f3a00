/**
 * The milter protocol's parser for the fuzzer: whatever a peer sends, the only error is the protocol's own, and
 * the packets are the same however the stream is cut.
 */
import { negotiate } from "../../services/milter/negotiation.ts";
import { createPacketReader } from "../../services/milter/packet-reader.ts";
import * as protocol from "../../services/milter/protocol.ts";
import type { Outcome } from "./targets.ts";

const decoders: Readonly<Record<string, (data: Buffer) => unknown>> = {
  O: negotiate,
  C: protocol.decodeConnect,
  D: protocol.decodeMacros,
  M: protocol.decodeAddress,
  R: protocol.decodeAddress,
  L: protocol.decodeHeader,
};

export async function protocolOutcome(input: string): Promise<Outcome> {
  const bytes = Buffer.from(input, "latin1");
  const whole = conversation([bytes]);
  const cut = conversation(Array.from(bytes, (_, index) => bytes.subarray(index, index + 1)));
  return {
    outcome: whole.split("\n").at(-1)!,
    contradiction: whole === cut ? null : "the packets depend on how the stream is cut",
  };
}

/** The packets and what is in them as text; the last line says how it ended. Any other error goes up. */
function conversation(pieces: readonly Buffer[]): string {
  const said: string[] = [];
  const reader = createPacketReader();
  /** What came of a body packet that is not complete. */
  let begun = "";
  try {
    for (const piece of pieces) {
      reader.push(piece);
      for (let packet = reader.next(); packet !== null; packet = reader.next()) {
        begun += packet.data.toString("latin1");
        if (!packet.isWhole) continue;
        said.push(JSON.stringify([packet.command, begun, decoded(packet.command, packet.data)]));
        begun = "";
      }
    }
    const end = reader.isInside() ? ", then: the connection ended inside a packet" : "";
    return [...said, `${said.length} packets${end}`].join("\n");
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
