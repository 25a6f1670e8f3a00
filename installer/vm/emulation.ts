/** What QEMU imitates where it translates the guest's code itself (its accelerator "tcg"). */
import type { Architecture } from "../../image/spec.ts";

/**
 * Processors for the guest.
 *
 * amd64 without cmpxchg16b: QEMU 7.2 (Debian 12's; rewritten in 8.0) forgets to store the flags before that
 * instruction, so an operand of an earlier one is taken for them. An interrupt right behind it saves such flags, and
 * where their trap bit was set the kernel, whose memory allocator uses the instruction everywhere, ends in a panic: one
 * of some hundred boots. Without it Linux takes another way.
 *
 * arm64 as a Pi 4: "max" makes translated code slower for features that nobody uses here.
 */
export const emulatedProcessor: Readonly<Record<Architecture, string>> = {
  amd64: "max,-cx16",
  arm64: "cortex-a72",
};

/** A thread for each of the machine's processors. */
export const threadEach = "tcg,thread=multi";

/** All of them in one thread. */
export const oneThread = "tcg,thread=single";

/**
 * QEMU's accelerator where the computer has none that works. With a thread each, QEMU 7.2 may let an x86 processor run
 * into an int3 that another has already taken out again, where Linux rewrites its own code: one of some sixty boots ended
 * in a panic on a busy computer. With one thread the first boot to "ready"
 * takes some 107 s rather than 78 on two processors; but it ends well.
 */
export const emulation: Readonly<Record<Architecture, string>> = { amd64: oneThread, arm64: threadEach };
