/**
 * The milter service in a process of its own, for filter.ts, which bundles this as programs on the device are
 * bundled: takes the folder with its settings and key; the socket and the rate limit's file are made there.
 */
import { join } from "node:path";
import { createLog } from "../../services/lib/log.ts";
import { exitOnSignals } from "../../services/lib/shutdown.ts";
import { startMilterService } from "../../services/milter/service.ts";

const folder = process.argv[2]!;
// Refusals are logged on the device as well; there journald reads them.
const log = createLog();
const stop = await startMilterService({
  settingsPath: join(folder, "settings.json"),
  dkimKeyPath: join(folder, "dkim.pem"),
  nextDkimKeyPath: join(folder, "dkim-next.pem"),
  dkimStatePath: join(folder, "dkim-state"),
  rateLimitPath: join(folder, "rate-limit"),
  listen: { name: "milter", path: join(folder, "socket") },
  log,
});
exitOnSignals(log, stop);
