/** QEMU's accelerator for x86 machines of the tests (qemu.ts, cut-power.ts). */

/**
 * All processors of the machine in one thread of ours. With a thread each, QEMU lets a processor run into an int3 that
 * another has already taken out again, where Linux rewrites its own code: a kernel panic in one of a hundred boots on a
 * busy computer, which no processor of metal knows.
 */
export const oneThread = "tcg,thread=single";
