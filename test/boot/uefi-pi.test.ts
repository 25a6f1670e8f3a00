/** The pi image on arm64 UEFI: what uefi-machine.ts demands of it. */
import { bootUnderUefi } from "./uefi-machine.ts";

bootUnderUefi("pi", "arm64", "the pi image on arm64 UEFI");
