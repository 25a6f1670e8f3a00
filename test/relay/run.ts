/**
 * What `npm test` puts before ring 2's command (test/run.ts):
 *
 *     node test/relay/run.ts COMMAND [ARGUMENT …]
 */
import { runWithRelays } from "../support/rootfs.ts";

const command = process.argv.slice(2);
if (command.length === 0) throw new Error("usage: node test/relay/run.ts COMMAND [ARGUMENT …]");
process.exitCode = await runWithRelays(command);
