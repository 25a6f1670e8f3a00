/**
 * Recorded answers of the real interfaces (made by another client, scrubbed), as far as they lie on this computer: beside
 * the project, or where HOMING_DNS_RECORDINGS says. They are not part of it. For recordings.test.ts.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { FakeAnswer, FakeRequest } from "./fake-provider.ts";
import { readXmlRpc } from "./xml-rpc.ts";

export type Interaction = Readonly<{
  cassette: string;
  request: Readonly<{ method: string; path: string; body?: unknown }>;
  response: Readonly<{ status: number; headers?: Readonly<Record<string, string>>; body: unknown }>;
}>;
export type Recording = Readonly<{ provider: string; interactions: readonly Interaction[] }>;

const folder =
  process.env.HOMING_DNS_RECORDINGS ?? join(import.meta.dirname, "../../../../shared/data/dns-recordings");

/** Empty where there are none. */
export function readRecordings(): Recording[] {
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
  return files
    .map((name) => JSON.parse(readFileSync(join(folder, name), "utf8")) as Recording)
    .map(({ provider, interactions }) => ({ provider, interactions: interactions.map(fromXml) }));
}

function fromXml(interaction: Interaction): Interaction {
  const { request, response } = interaction;
  if (typeof request.body !== "string" || typeof response.body !== "string") return interaction;
  if (!response.body.startsWith("<?xml")) return interaction;
  const { method, value: params } = readXmlRpc(request.body);
  const { value } = readXmlRpc(response.body);
  return {
    ...interaction,
    request: { ...request, body: { method, params } },
    response: { ...response, body: value },
  };
}

/** The zone of all recordings, and the one that they ask for in vain. */
export const recordedZone = "example.org";
export const missingZone = "thisisadomainidonotown.com";

/** What is asked for, whatever its ids, names and filters are: requests with the same key have answers of one form. */
export function keyOf(method: string, path: string, body: unknown): string {
  const place = (path.split("?")[0] ?? "")
    .split("/")
    .filter((part) => part !== "")
    .map((part) => {
      if (part === missingZone) return "missing";
      if (part === recordedZone || /^(?:\d+|[0-9a-f]{32}|[0-9a-f-]{36})$/.test(part)) return "#";
      return part;
    })
    .join("/")
    // Whole sets, by name and type.
    .replace(/(rrsets|records)\/[^/]+\/(?:A|AAAA|CNAME|MX|TXT)\b/, "$1/SET");
  const { method: call, action, params } = (body ?? {}) as Record<string, unknown>;
  const isMissing = JSON.stringify(params ?? "").includes(missingZone);
  return [method, place, call ?? action, isMissing ? "missing" : ""].filter((part) => part).join(" ");
}

export const keyOfInteraction = ({ request }: Interaction, basePath: string) =>
  keyOf(request.method, request.path.slice(basePath.length), request.body);
export const keyOfRequest = ({ method, path, body }: FakeRequest) => keyOf(method, path, body);

/** Every place in a value with the kind of what stands there; entries of lists share one place. */
function placesOf(
  value: unknown,
  place = "",
  found = new Map<string, Set<string>>(),
): Map<string, Set<string>> {
  const kind = value === null ? "null" : Array.isArray(value) ? "list" : typeof value;
  found.set(place, (found.get(place) ?? new Set()).add(kind));
  if (Array.isArray(value)) for (const entry of value) placesOf(entry, `${place}[]`, found);
  else if (typeof value === "object" && value !== null) {
    for (const [key, inner] of Object.entries(value)) placesOf(inner, `${place}.${key}`, found);
  }
  return found;
}

/** What a stand-in answers that no recorded answer has: a key that is not there, or another kind of value. */
export function differences(answer: FakeAnswer, recorded: readonly Interaction["response"][]): string[] {
  const real = new Map<string, Set<string>>();
  for (const { body } of recorded) placesOf(body, "", real);
  const wrong: string[] = [];
  if (!recorded.some(({ status }) => status === answer.status)) wrong.push(`status ${answer.status}`);
  for (const [place, kinds] of placesOf(answer.body === "null" ? null : (answer.body ?? ""))) {
    const there = real.get(place);
    if (there === undefined) wrong.push(`${place} is in none`);
    else if (!there.has("null")) {
      for (const kind of kinds) if (kind !== "null" && !there.has(kind)) wrong.push(`${place} is no ${kind}`);
    }
  }
  return wrong;
}
