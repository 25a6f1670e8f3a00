/** Applying a relay's records to a zone in memory; for the tests of plans, their application and the way back. */
import type { RecordSet } from "../../../appliance/dns/record-set.ts";
import { relayRecords } from "../../../appliance/dns/records.ts";
import { applyDns } from "../../../installer/dns/apply.ts";
import type { ZoneBackup } from "../../../installer/dns/backup.ts";
import type { PlanLimits } from "../../../installer/dns/plan.ts";
import type { MemoryProvider } from "./memory-provider.ts";

export const zone = "example.test";
const publicKey = `MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu5oIUrFDWZK7F4thFxpZa2or6jBEX3cSL6b2TJdPkO5iNn9vHNXhNX31nOefN8FksX94YbLJ8NHcFPbaZTW8R2HthYxRaCyqodxlLHibg8aHdfa+bxKeiI/xABRuAM0WG0JEDSyakMFqIO40ghj/h7DUc/4OXNdeQhrKDTlgf2bd+FjpJ3bNAFcMYa3Oeju33b2Tp+PdtqIwXRZksfuXh7m30kuyavp3Uaso145DRBaJZA55lNxmHWMgMjO+YjNeuR6j4oQqyGwzPaVcSdOG8Js2mXt+J3Hr+nNmJGxZUUW4Uw5ws08wT9opRgSpn+ThX2d1AgQePpGrWOamC3PdcwIDAQAB`;

const accountUri = "https://ca.test/1";

export function desiredOf(domain: string) {
  const dkim = [{ selector: "homing1", publicKey }];
  return {
    domain,
    records: relayRecords({ domain, dkim, addresses: ["11.22.33.44", "2a00::44"], accountUri }),
  };
}
export const set = (name: string, type: string, ...values: string[]): RecordSet => ({
  name,
  type,
  ttl: 300,
  values,
});
export const keeper = (provider: MemoryProvider) => ({ id: "memory", minTtl: 0, provider });

export const noteFinished = async () => {};

/** Applies with a yes; gives the back-up too. */
export async function apply(domain: string, provider: MemoryProvider, limits: PlanLimits = {}) {
  let backup: ZoneBackup | undefined;
  const applied = await applyDns(
    desiredOf(domain),
    { ...keeper(provider), ...limits },
    {
      confirm: async () => true,
      keepBackup: async (kept) => {
        backup = kept;
        return "kept";
      },
      noteFinished: async () => {
        backup = { ...backup!, finished: true };
      },
    },
  );
  return { ...applied, kept: backup };
}
