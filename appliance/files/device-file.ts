/**
 * A file that is written at every boot from the relay's settings. The functions in this folder make the
 * content, appliance/life writes it; owners are names, since ids belong to the root file system.
 */
export type DeviceFile = Readonly<{
  /** Absolute path on the device. */
  path: string;
  content: string;
  /** Permission bits. */
  mode: number;
  owner: string;
  group: string;
}>;

/** A file of root that everybody may read. */
export function publicFile(path: string, content: string): DeviceFile {
  return { path, content, mode: 0o644, owner: "root", group: "root" };
}
