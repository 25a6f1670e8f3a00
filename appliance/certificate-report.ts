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
