/**
 * What services/certificates tells of its last look, as it lies in a file for `homing-ctl certificate`. Times in
 * milliseconds since 1970.
 */
export type CertificateReport = Readonly<{
  /** The authority's ACME directory. */
  authority: string;
  /** The account there, for a CAA record that names it (RFC 8657); null before the first certificate. */
  account: string | null;
  /** Names and addresses of the certificate in use; none when that is the relay's own. */
  names: readonly string[];
  notAfter: number | null;
  renewAt: number | null;
  /** Failures since the last success. */
  failures: number;
  /** Names that the authority did not accept, and why. */
  refused: Readonly<Record<string, string>>;
  problem: string | null;
  nextLook: number;
}>;

/** What a Date can be (ECMA-262 §21.4.1.1). Milliseconds. */
const LATEST_DATE = 8.64e15;

/** Whether a report is one: it lies where whoever took over the service may write what they like. */
export function isCertificateReport(report: CertificateReport): boolean {
  const isDate = (time: number) => Number.isInteger(time) && Math.abs(time) <= LATEST_DATE;
  const isText = (value: unknown) => typeof value === "string";
  const { authority, account, names, notAfter, renewAt, refused, problem, nextLook } = report;
  return (
    isText(authority) &&
    Array.isArray(names) &&
    [account, problem].every((text) => text === null || isText(text)) &&
    [...names, ...Object.values(refused)].every(isText) &&
    [notAfter, renewAt].every((time) => time === null || isDate(time)) &&
    isDate(nextLook)
  );
}
