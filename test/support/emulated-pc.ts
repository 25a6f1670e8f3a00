/** QEMU's arguments for a PC with two processors and 1 GiB, translated, as the tests and benches boot by hand. */
import { emulatedProcessor } from "../../installer/vm/emulation.ts";

/** `machine` and `accelerator` by QEMU's names. */
export function emulatedPc(machine: "pc" | "q35", accelerator: string): string[] {
  const processor = ["-cpu", emulatedProcessor.amd64, "-smp", "2"];
  return ["-machine", machine, "-accel", accelerator, ...processor, "-m", "1024"];
}
