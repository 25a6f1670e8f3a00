/**
 * The disks of a Windows computer as PowerShell's Get-Disk and Get-Partition list them. Pure; called by listing.ts.
 * A disk that can be pulled out is known by its bus: Windows calls only a part of them removable.
 */
import { z } from "zod";
import { asNumber, type Disk, DiskListError, modelText, parseListing } from "./disk.ts";

/** Prints one JSON object. Enumerations as their names: their numbers differ between versions. */
export const powershellArguments = [
  ...["-NoProfile", "-NonInteractive", "-Command"],
  [
    "$d = @(Get-Disk | Select-Object Number, FriendlyName, Size, IsBoot, IsSystem, IsReadOnly, @{n='BusType';e={[string]$_.BusType}})",
    "$p = @(Get-Partition | Where-Object DriveLetter | Select-Object DiskNumber, @{n='DriveLetter';e={[string]$_.DriveLetter}})",
    "ConvertTo-Json -Depth 3 @{disks=$d; partitions=$p}",
  ].join("; "),
];

const Listing = z.object({
  disks: z.array(
    z.object({
      Number: z.number(),
      FriendlyName: z.unknown(),
      Size: z.unknown(),
      IsBoot: z.boolean().nullish(),
      IsSystem: z.boolean().nullish(),
      IsReadOnly: z.boolean().nullish(),
      BusType: z.string(),
    }),
  ),
  partitions: z.array(z.object({ DiskNumber: z.number(), DriveLetter: z.string() })),
});
/** MSFT_Disk, BusType. */
const REMOVABLE_BUSES: ReadonlySet<string> = new Set(["USB", "SD", "MMC"]);

/** Throws DiskListError. */
export function parseGetDisk(text: string): Disk[] {
  const listing = Listing.safeParse(parseListing("PowerShell", text));
  if (!listing.success) {
    throw new DiskListError("PowerShell gave a list of disks that cannot be read", { cause: listing.error });
  }
  const { disks, partitions } = listing.data;
  return disks.map((disk) => ({
    device: `\\\\.\\PhysicalDrive${disk.Number}`,
    model: modelText(disk.FriendlyName),
    bytes: asNumber(disk.Size),
    removable: REMOVABLE_BUSES.has(disk.BusType),
    readOnly: disk.IsReadOnly === true,
    system: disk.IsBoot === true || disk.IsSystem === true,
    mounts: partitions
      .filter(({ DiskNumber }) => DiskNumber === disk.Number)
      .map(({ DriveLetter }) => `${DriveLetter}:`),
  }));
}
