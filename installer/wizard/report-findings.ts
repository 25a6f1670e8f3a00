/** A check of the DNS in a screen's length, for the wizard. Pure; called by dns-effects.ts. */
import { type DnsReport, outlookOf } from "../dns/report.ts";
import { shellQuote } from "../shell-quote.ts";
import type { Finding } from "./effects.ts";

/** A screen has room for so many records that are not as they should be. */
const MAX_SHOWN = 8;

const stateWords: Readonly<Record<DnsReport["records"][number]["state"], string>> = {
  ok: "can be better",
  unknown: "could not be asked for",
  differs: "is another",
  missing: "is missing",
  conflicts: "is in conflict with what is there",
};

const verdicts = (domain: string): Readonly<Record<ReturnType<typeof outlookOf>, Finding>> => ({
  works: { mark: "good", text: `The DNS shows all that ${domain} needs: mail will work.` },
  "not yet": {
    mark: "bad",
    text: "Mail will not work yet. New records may take an hour to be seen everywhere.",
  },
  "not known": { mark: "warning", text: "Whether mail will work is not known: some servers gave no answer." },
});

/** What keeps mail from working comes first. */
export function findingsOf(report: DnsReport, folder: string): Finding[] {
  const { path, records, findings, domain } = report;
  if (path === "none") {
    return [
      { mark: "warning", text: "Whether mail will work is not known: the DNS gave no answer." },
      ...findings.map(({ text, mend }): Finding => ({ mark: "bad", text: `${text}. ${mend}` })),
    ];
  }
  const all = [
    ...findings,
    ...records
      .filter(({ severity }) => severity !== "none")
      .map(({ severity, name, type, state, mend }) => ({
        ...{ severity, mend },
        text: `${name} ${type} ${stateWords[state]}`,
      })),
  ].map(({ severity, text, mend }) => ({ severity, text: mend === "" ? `${text}.` : `${text}. ${mend}` }));
  const sorted = [
    ...all.filter(({ severity }) => severity === "error"),
    ...all.filter(({ severity }) => severity !== "error"),
  ];
  const left = sorted.length - MAX_SHOWN;
  return [
    verdicts(domain)[outlookOf(report)],
    ...sorted
      .slice(0, MAX_SHOWN)
      .map(({ severity, text }): Finding => ({ mark: severity === "error" ? "bad" : "warning", text })),
    ...(left > 0
      ? [
          {
            mark: "note",
            text: `And ${left} more: ./homing dns check ${shellQuote(folder)} tells all.`,
          } satisfies Finding,
        ]
      : []),
  ];
}
