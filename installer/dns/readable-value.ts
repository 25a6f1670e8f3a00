/**
 * What the values of a zone say, where providers let people enter what is none of its type. Pure; called by plan.ts and
 * its parts.
 */
import { PROXIED, RecordTextError, recordData, tidyValue } from "../../appliance/dns/record-set.ts";
import type { RecordData } from "../../appliance/dns/records.ts";

/** Undefined for a value that is none of its type, as providers let people enter. */
export function dataOf(type: string, value: string): RecordData | undefined {
  try {
    return recordData(type, tidyValue(type, value));
  } catch (error) {
    if (error instanceof RecordTextError) return undefined;
    throw error;
  }
}

/** Whether it leads to the provider's own servers instead, which a value of ours at its place ends. */
export function isProxied(value: string): boolean {
  return value.endsWith(PROXIED);
}
