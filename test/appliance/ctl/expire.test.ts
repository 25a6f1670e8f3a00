import { expect, it } from "vitest";
import { reportText } from "../../../appliance/ctl/commands/expire.ts";
import { emptyReport } from "../../../appliance/reaper-report.ts";

it("says what went, by its reason", () => {
  const report = { ...emptyReport(false), mailboxes: 12, seconds: 0.345, accounts: { idle: 1, asked: 2 } };
  report.removed.age = { messages: 1, bytes: 999 };
  report.removed.full = { messages: 20, bytes: 12_345_678 };
  expect(reportText(report)).toBe(
    `1 message deleted (1 kB): old
20 messages deleted (12.3 MB): the oldest of mailboxes that are nearly full
1 account deleted: no login for too long
2 accounts deleted: somebody asked for it
Looked at 12 mailboxes in 0.3 s.
`,
  );
});

it("says why nothing goes", () => {
  const report = { ...emptyReport(true), refusal: "this is the first run" };
  expect(reportText(report)).toBe(
    `Nothing goes by its age: this is the first run.
Nothing would be deleted.
Looked at 0 mailboxes in 0.0 s.
`,
  );
});
