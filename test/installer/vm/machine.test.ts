/** How QEMU is started (installer/vm/machine.ts), with a program in its place that tells its arguments. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { startMachine } from "../../../installer/vm/machine.ts";

/** Whatever accelerates does not work; otherwise it shows its accelerator and processors and runs on. */
const program = `#!${process.execPath}
const option = (name) => process.argv[process.argv.indexOf(name) + 1];
if (option("-accel").startsWith("tcg")) console.log(option("-accel"), option("-smp"));
else console.error("KVM internal error. Suberror: 1");
setInterval(() => {}, 1000);
`;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-machine-"));
  await mkdir(join(folder, "share"));
  for (const name of ["qemu-system-x86_64", "qemu-system-aarch64"])
    await writeFile(join(folder, name), program, { mode: 0o755 });
  for (const name of ["edk2-x86_64-code.fd", "edk2-i386-vars.fd", "edk2-aarch64-code.fd"])
    await writeFile(join(folder, "share", name), "");
  vi.stubEnv("PATH", `${folder}${delimiter}${process.env.PATH}`);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

describe.skipIf(process.platform === "win32")("a machine without hardware acceleration", () => {
  it.each([
    ["amd64", "in one thread, for the kernel's sake", "tcg,thread=single", 2],
    ["arm64", "in a thread for each processor", "tcg,thread=multi", 4],
  ] as const)("of %s runs %s", async (architecture, _how, accelerator, cores) => {
    const told = Promise.withResolvers<string>();
    const machine = await startMachine({
      ...{ disk: join(folder, "a.img"), architecture, memoryMebibytes: 64, cores: 4, forwards: [] },
      onConsole: told.resolve,
      onNote: () => {},
    });
    const said = await told.promise;
    await machine.kill();
    expect(said).toBe(`${accelerator} ${cores}\n`);
    expect(machine.accelerator).toBe(accelerator);
  });
});
