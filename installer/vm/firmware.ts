/**
 * Finds QEMU's UEFI firmware on this computer; called by machine.ts. Every distribution keeps it elsewhere,
 * so known places are tried in order, and a firmware's variable store is looked for beside its code.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Architecture } from "../../image/spec.ts";

/** `code` alone can be booted with -bios; with `variables` (a template to copy) it goes into two flash chips. */
export type Firmware = Readonly<{ code: string; variables?: string }>;

/** Debian and Ubuntu; Fedora; Arch; openSUSE; firmware that comes with QEMU itself (also Homebrew and Windows). */
const candidates: Readonly<Record<Architecture, readonly Firmware[]>> = {
  amd64: [
    { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", variables: "/usr/share/OVMF/OVMF_VARS_4M.fd" },
    { code: "/usr/share/OVMF/OVMF_CODE.fd", variables: "/usr/share/OVMF/OVMF_VARS.fd" },
    { code: "/usr/share/edk2/ovmf/OVMF_CODE.fd", variables: "/usr/share/edk2/ovmf/OVMF_VARS.fd" },
    { code: "/usr/share/edk2/x64/OVMF_CODE.4m.fd", variables: "/usr/share/edk2/x64/OVMF_VARS.4m.fd" },
    { code: "/usr/share/qemu/ovmf-x86_64-code.bin", variables: "/usr/share/qemu/ovmf-x86_64-vars.bin" },
    { code: "edk2-x86_64-code.fd", variables: "edk2-i386-vars.fd" },
  ],
  arm64: [
    { code: "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd" },
    { code: "/usr/share/edk2/aarch64/QEMU_EFI.fd" },
    { code: "/usr/share/qemu/qemu-uefi-aarch64.bin" },
    { code: "edk2-aarch64-code.fd" },
  ],
};

/** Debian packages that bring the firmware, for the advice when none is found. */
export const firmwarePackage: Readonly<Record<Architecture, string>> = {
  amd64: "ovmf",
  arm64: "qemu-efi-aarch64",
};

/**
 * The first firmware that exists, or undefined.
 * Names without a folder are looked for in the share folders that belong to the `qemu` binary.
 */
export function findFirmware(
  architecture: Architecture,
  qemu: string,
  exists: (path: string) => boolean = existsSync,
): Firmware | undefined {
  const folder = dirname(qemu);
  const shares = [join(folder, "share"), join(folder, "..", "share", "qemu")];
  for (const { code, variables } of candidates[architecture]) {
    if (code.startsWith("/")) {
      if (exists(code) && (!variables || exists(variables)))
        return variables ? { code, variables } : { code };
      continue;
    }
    for (const share of shares) {
      const inShare = variables
        ? { code: join(share, code), variables: join(share, variables) }
        : { code: join(share, code) };
      if (exists(inShare.code) && (!inShare.variables || exists(inShare.variables))) return inShare;
    }
  }
  return undefined;
}
