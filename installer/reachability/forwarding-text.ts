/** What ./homing doctor prints of ports that the router forwards, or no longer does. Pure; called by commands/doctor.ts. */
import type { Painter } from "../dns/painter.ts";
import { isPublicAddress } from "../dns/public-address.ts";
import type { ForwardingReport, PortOutcome } from "./forward.ts";
import { wayNames } from "./forwarder.ts";
import { callPortWords, MAX_ASKED_CALL_PORTS, portListWords, type RouterPort } from "./relay-ports.ts";
import { forwardingSteps, lookFromOutside } from "./report-text.ts";

const marks: Readonly<Record<PortOutcome["state"], string>> = {
  forwarded: "OK",
  held: "TAKEN",
  refused: "REFUSED",
  removed: "REMOVED",
  absent: "NOTHING",
};
const MARK_WIDTH = 8;
const DAY_S = 86_400;
const HOUR_S = 3600;

export const forwardingQuestion = (
  ports: readonly RouterPort[],
  { router, target, own }: Readonly<{ router: string; target: string; own: string }>,
) =>
  `The router at ${router} would forward the TCP ports ${portListWords(ports)} to ${whose(target, own)}.
Everybody on the Internet can then connect to them there. The relay needs them at its own address: --to names it.
Forward them? Type yes: `;

const whose = (target: string, own: string) => (target === own ? `${target}, this computer` : target);

export function forwardingText(
  { router, own, target, ports, calls, areCallsLeft }: ForwardingReport,
  painter: Painter,
): string {
  const paints = {
    ...{ forwarded: painter.good, removed: painter.good, absent: (text: string) => text },
    ...{ held: painter.bad, refused: painter.bad },
  };
  const groups = new Map<string, PortOutcome[]>();
  for (const outcome of ports) {
    const words = `${outcome.state} ${wordsOf(outcome, target)}`;
    groups.set(words, [...(groups.get(words) ?? []), outcome]);
  }
  const lines = [...groups.values()].map((outcomes) => {
    const [{ state }] = outcomes as [PortOutcome];
    const list = portListWords(outcomes);
    return `${paints[state](marks[state].padEnd(MARK_WIDTH))} ${list}: ${wordsOf(outcomes[0]!, target)}`;
  });
  return [`The router at ${router.address}, for ${whose(target, own)}:`, ...lines, ...advice(), ""].join(
    "\n",
  );

  function advice(): string[] {
    const isForwarded = ports.some(({ state }) => state === "forwarded");
    const isRefused = ports.some(({ state }) => state === "refused");
    const isHeld = ports.some(({ state }) => state === "held");
    const spans = ports.flatMap(({ seconds }) => seconds ?? []);
    const found: string[] = [];
    if (isForwarded && target === own) {
      found.push(
        `They lead to this computer. The relay needs them at its own address: ./homing doctor${calls === null ? "" : " FOLDER"} --unmap, then the same with --map --to ADDRESS.`,
      );
    }
    if (isForwarded && target !== own) {
      found.push(`See that ${target} stays the relay's address (“DHCP reservation” in the router).`);
    }
    if (spans.length > 0) {
      found.push(
        `The router forgets this in ${spanWords(Math.min(...spans))} unless it is asked again. For a relay, enter it on the router's own page.`,
      );
    }
    if (calls !== null && areCallsLeft) {
      found.push(
        `For calls the relay needs the ${callPortWords(calls)} as well. A router is asked for ${MAX_ASKED_CALL_PORTS} of such a range at most: forward them on its own page, there it is one entry, or set a smaller range in [turn] of relay.toml.`,
      );
    }
    if (isRefused) {
      found.push(
        `By hand: in ${forwardingSteps(target === own ? "the relay" : target, { calls, hint: "" })}`,
      );
    }
    if (isHeld) found.push("What goes elsewhere has to be taken back there first, or on the router's page.");
    if (isForwarded && router.outerAddress !== null && !isPublicAddress(router.outerAddress)) {
      found.push(
        `But the router itself has ${router.outerAddress}, which is not public: the provider shares an address (CGNAT), or a second router is in front, and nobody gets in so.`,
      );
    }
    if (isForwarded) found.push(lookFromOutside);
    return found.length === 0 ? [] : ["", ...found];
  }
}

function wordsOf({ state, way, seconds, reason }: PortOutcome, target: string): string {
  const by = way === null ? "" : `by ${wayNames[way]}`;
  switch (state) {
    case "forwarded": {
      const span = seconds === null ? "for good" : `for ${spanWords(seconds)}`;
      return `go to ${target}, ${reason === "" ? `${by}, ${span}` : reason}`;
    }
    case "removed":
      return `no longer forwarded, ${by}${reason && `, ${reason}`}`;
    case "absent":
      return reason === "" ? "not forwarded by ./homing doctor" : reason;
    case "held":
    case "refused":
      return reason;
  }
}

function spanWords(seconds: number): string {
  if (seconds >= 2 * DAY_S) return `${Math.round(seconds / DAY_S)} days`;
  if (seconds >= 2 * HOUR_S) return `${Math.round(seconds / HOUR_S)} hours`;
  return `${Math.ceil(seconds / 60)} minutes`;
}
