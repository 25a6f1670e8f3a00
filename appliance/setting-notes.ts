/**
 * What belongs to a setting beside its type: the comment in relay.toml and what is allowed, and the usual kinds of
 * settings. Used by relay-settings.ts and its parts; read by relay-config.ts.
 */
import * as z from "zod";

/** What a person must know of a setting; rendered into relay.toml and into error texts. */
export type SettingNote = Readonly<{
  /** One line for relay.toml. */
  comment: string;
  /** Continues "allowed: …" in an error text. */
  allowed: string;
}>;

/** The note of every setting, kept beside its schema (read by relay-config.ts). */
export const settingNotes = z.registry<SettingNote>();

export function whole(comment: string, byDefault: number, least: number, most: number) {
  return z
    .int()
    .min(least)
    .max(most)
    .default(byDefault)
    .register(settingNotes, { comment, allowed: `a whole number from ${least} to ${most}` });
}

export function decimal(comment: string, byDefault: number, least: number, most: number) {
  return z
    .number()
    .min(least)
    .max(most)
    .default(byDefault)
    .register(settingNotes, { comment, allowed: `a number from ${least} to ${most}` });
}

export function yesNo(comment: string, byDefault: boolean) {
  return z.boolean().default(byDefault).register(settingNotes, { comment, allowed: "true or false" });
}
