/** The vm image on x86-64 UEFI: what uefi-machine.ts demands of it. */
import { bootUnderUefi } from "./uefi-machine.ts";

bootUnderUefi("vm", "amd64", "the vm image on x86-64 UEFI");
