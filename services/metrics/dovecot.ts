/**
 * What Dovecot counts (its `metric` settings in appliance/files/dovecot.ts), asked by its socket and put under names and
 * labels of ours. Dovecot names its families after its settings, mixes sums of several kinds into one family, and
 * describes none. Called by scrape.ts.
 */
import { request } from "node:http";
import { type Family, parseSamples, type Sample } from "./text-format.ts";

/** It answers in a few milliseconds; one that does not is counted as not there. */
const ANSWER_MS = 2_000;
/** Some forty commands with nine buckets each are 30 kB. */
const MAX_ANSWER_BYTES = 1_000_000;

/** Dovecot's answer to GET /metrics. @throws Error of the connection, or when it is too slow or too long. */
export function askDovecot(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        socketPath,
        path: "/metrics",
        headers: { connection: "close" },
        signal: AbortSignal.timeout(ANSWER_MS),
      },
      (answer) => {
        const chunks: Buffer[] = [];
        let length = 0;
        answer.on("data", (chunk: Buffer) => {
          length += chunk.length;
          if (length <= MAX_ANSWER_BYTES) chunks.push(chunk);
          else asked.destroy(new Error(`Dovecot's answer has more than ${MAX_ANSWER_BYTES} bytes`));
        });
        answer.on("error", reject);
        answer.on("end", () => {
          if (answer.statusCode === 200) resolve(Buffer.concat(chunks).toString());
          else reject(new Error(`Dovecot answered ${answer.statusCode}`));
        });
      },
    );
    asked.on("error", reject);
    asked.end();
  });
}

/** Our families of its series. */
export function dovecotFamilies(text: string): Family[] {
  const samples = parseSamples(text);
  const from = (name: string, to: (sample: Sample) => Sample | undefined): Sample[] =>
    samples.filter((sample) => sample.name === name).flatMap((sample) => to(sample) ?? []);

  const logins = (name: string, outcome: string) =>
    from(`dovecot_${name}_total`, ({ labels: { protocol }, value }) =>
      protocol === undefined
        ? undefined
        : { name: "homing_logins_total", labels: { protocol: protocol || "none", outcome }, value },
    );
  const histogram = (its: string, ours: string, rename: (labels: Sample["labels"]) => Sample["labels"]) =>
    ["_bucket", "_sum", "_count"].flatMap((suffix) =>
      from(`dovecot_${its}${suffix}`, ({ labels: { le, ...labels }, value }) => ({
        name: `${ours}${suffix}`,
        labels: { ...rename(labels), ...(le !== undefined && { le: shortest(le) }) },
        value,
      })),
    );
  const families: Family[] = [
    {
      name: "homing_logins_total",
      help: "Logins that Dovecot judged, by protocol: “ok” or “failed”.",
      type: "counter",
      samples: [...logins("logins", "ok"), ...logins("logins_failed", "failed")],
    },
    {
      name: "homing_imap_command_seconds",
      help: "How long IMAP commands took.",
      type: "histogram",
      samples: histogram("imap_command", "homing_imap_command_seconds", ({ cmd_name = "" }) => ({
        command: cmd_name,
      })),
    },
    {
      name: "homing_delivery_seconds",
      help: "How long Dovecot took to put a message into a mailbox, or to refuse it.",
      type: "histogram",
      samples: histogram("delivery", "homing_delivery_seconds", () => ({})),
    },
    {
      name: "homing_deliveries_failed_total",
      help: "Messages that Dovecot did not put into a mailbox.",
      type: "counter",
      samples: from("dovecot_delivery_failed_total", ({ value }) => ({
        name: "homing_deliveries_failed_total",
        labels: {},
        value,
      })),
    },
  ];
  return families.filter(({ samples: own }) => own.length > 0);
}

/** "0.001024", not "0.0010240" or "1.000000". */
function shortest(bound: string): string {
  return bound === "+Inf" ? bound : String(Number(bound));
}
