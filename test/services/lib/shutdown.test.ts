import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const library = join(import.meta.dirname, "../../../services/lib");

async function run(body: string, signal?: NodeJS.Signals): Promise<{ code: number | null; log: string }> {
  const script = `
    const { createLog } = await import(${JSON.stringify(join(library, "log.ts"))});
    const { exitOnSignals, trackConnections } = await import(${JSON.stringify(join(library, "shutdown.ts"))});
    const net = await import("node:net");
    const log = createLog();
    ${body}`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  child.stderr.on("data", (data) => {
    log += data;
  });
  if (signal !== undefined) {
    await once(child.stdout, "data");
    child.kill(signal);
  }
  const [code] = await once(child, "close");
  return { code, log };
}

describe("exitOnSignals", () => {
  it.each(["SIGTERM", "SIGINT"] as const)("runs the steps in order at %s and exits 0", async (signal) => {
    const { code, log } = await run(
      `exitOnSignals(log, [{ name: "a", run: async () => log.info("one") }, { name: "b", run: () => log.info("two") }]);
       setInterval(() => {}, 1000); console.log("up");`,
      signal,
    );
    expect(code).toBe(0);
    expect(log.indexOf("one")).toBeLessThan(log.indexOf("two"));
  });

  it("runs the other steps and exits 1 when one fails", async () => {
    const { code, log } = await run(
      `exitOnSignals(log, [{ name: "a", run: () => { throw new Error("disk gone") } }, { name: "b", run: () => log.info("two") }]);
       setInterval(() => {}, 1000); console.log("up");`,
      "SIGTERM",
    );
    expect(code).toBe(1);
    expect(log).toContain("disk gone");
    expect(log).toContain("two");
  });

  it("ends several services of one process side by side, and exits 1 when one of them failed", async () => {
    const { code, log } = await run(
      `const slow = Promise.withResolvers();
       exitOnSignals(log, [{ name: "a", run: () => slow.promise }, { name: "b", run: () => log.info("one") }]);
       exitOnSignals(log, [{ name: "c", run: () => { slow.resolve(); throw new Error("disk gone") } }]);
       setInterval(() => {}, 1000); console.log("up");`,
      "SIGTERM",
    );
    expect(code).toBe(1);
    expect(log.match(/stopping signal/g)).toHaveLength(1);
    expect(log).toContain("disk gone");
    expect(log).toContain("one");
  });

  it("logs an uncaught error and ends with 1", async () => {
    const { code, log } = await run(
      `exitOnSignals(log, []); setInterval(() => {}, 1000); Promise.reject(new Error("forgotten"));`,
    );
    expect(code).toBe(1);
    expect(log).toContain("<3>uncaught error");
    expect(log).toContain("forgotten");
  });

  it("closes a server's open connections", async () => {
    const { code } = await run(
      `const server = net.createServer();
       const connections = trackConnections(server);
       exitOnSignals(log, [{ name: "server", run: () => connections.close() }]);
       server.listen(0, "127.0.0.1", () => {
         net.connect(server.address().port, "127.0.0.1", () => console.log("up"));
       });`,
      "SIGTERM",
    );
    expect(code).toBe(0);
  });
});
