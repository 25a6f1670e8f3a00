/**
 * A world for whole runs of the wizard: real name servers on this computer (test/installer/dns/name-servers.ts), and a
 * stand-in of deSEC that changes what they answer. wizard-process.ts is the wizard in it.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { txtStrings } from "../../appliance/dns/record-set.ts";
import type { DnsWorld } from "../../installer/dns/world.ts";
import { startSmallInternet } from "../installer/dns/name-servers.ts";
import { fakeDesec } from "./dns-providers/desec.ts";
import { serveFake } from "./dns-providers/fake-provider.ts";
import { testLockFile } from "./test-lock.ts";

/** What wizard-process.ts is told, as a file of JSON. */
export type WizardSurroundings = Readonly<{ dns: DnsWorld; providerUrl: string; lockFile: string }>;

export type WizardWorld = AsyncDisposable &
  Readonly<{
    /** Path of wizard-process.ts, then of the file that it reads. */
    words: readonly string[];
    /** What deSEC's owner would paste. */
    token: string;
  }>;

export async function startWizardWorld(folder: string, zone: string): Promise<WizardWorld> {
  const internet = await startSmallInternet(folder, [{ name: zone, records: [] }]);
  const fake = fakeDesec(zone, []);
  let published: Promise<void> = Promise.resolve();
  const publish = async () => {
    const lines = fake
      .rows()
      .filter(({ type }) => type !== "NS" && type !== "SOA")
      .map(({ name, type, ttl, value }) => {
        const text = type === "TXT" ? txtStrings(value).join(" ") : value;
        return `${name}. ${ttl} ${type} ${text}`;
      });
    for (const which of ["first", "second"] as const) await internet.reload(zone, which, lines);
  };
  const server = await serveFake({
    ...fake,
    answer(request) {
      const answer = fake.answer(request);
      if (!fake.isRead(request)) published = published.then(publish);
      return answer;
    },
  });
  const surroundings: WizardSurroundings = {
    dns: internet.world,
    providerUrl: server.baseUrl,
    lockFile: testLockFile(),
  };
  const file = join(folder, "surroundings.json");
  await writeFile(file, JSON.stringify(surroundings));
  return {
    words: [join(import.meta.dirname, "wizard-process.ts"), file],
    token: fake.credentials.token!,
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await published;
      await internet[Symbol.asyncDispose]();
    },
  };
}
