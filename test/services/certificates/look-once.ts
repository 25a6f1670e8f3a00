/** One look at the certificate in a process that can be killed; options come from renewal.test.ts. */

import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { httpChallenges } from "../../../services/certificates/challenges.ts";
import type { LookOptions } from "../../../services/certificates/context.ts";
import { lookAfterCertificate } from "../../../services/certificates/look.ts";
import { createPatience } from "../../../services/certificates/pending.ts";
import { createLog } from "../../../services/lib/log.ts";

const [text] = (await once(process, "message")) as [string];
const { nameServer, ...options } = JSON.parse(text) as LookOptions & { nameServer: string };
const resolver = new Resolver();
resolver.setServers([nameServer]);
await lookAfterCertificate({
  ...options,
  challenges: await httpChallenges(join(dirname(options.paths.state), "challenges")),
  resolvers: { system: resolver, at: () => resolver },
  patience: createPatience(60_000),
  now: Date.now,
  random: Math.random,
  log: createLog(),
});
process.disconnect();
