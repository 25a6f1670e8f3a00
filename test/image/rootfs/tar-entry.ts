/** An entry of a package's archive for the tests of the root file system. */
import type { TarEntry } from "../../../image/formats/tar.ts";

/** A plain file of root's that holds its own path, unless told otherwise. */
export function tarEntry(path: string, rest: Partial<TarEntry> = {}): TarEntry {
  return {
    path,
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    userName: "root",
    groupName: "root",
    time: 0,
    target: "",
    content: Buffer.from(path),
    major: 0,
    minor: 0,
    ...rest,
  };
}
