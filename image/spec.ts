/**
 * What an image holds beyond the Debian packages, as data. `appliance/rootfs.ts` fills this in; the
 * builder knows nothing of its meaning. Nothing in it is personal: all relays of one version share it.
 */

export type Architecture = "amd64" | "arm64";

/** A system user with a group of the same name. Ids are fixed for ever: the data partition's owners depend on them. */
export type SystemUser = Readonly<{
  name: string;
  /** User and group id. 900–969 is ours; Debian's packages take 970–999 (image/rootfs/users.ts). */
  id: number;
  /** Groups the user is a member of besides its own. */
  groups?: readonly string[];
  home?: string;
}>;

export type SpecFile = Readonly<{
  /** Absolute path on the device, parents are made as needed. */
  path: string;
  content: string | Uint8Array;
  /** Permission bits, 0o644 unless given. */
  mode?: number;
}>;

export type SpecLink = Readonly<{ path: string; target: string }>;

/** A TypeScript program that esbuild bundles into /usr/lib/homing/<name>.mjs. */
export type Bundle = Readonly<{
  name: string;
  /** Entry file, relative to the project's folder. */
  entry: string;
}>;

export type RootfsSpec = Readonly<{
  users: readonly SystemUser[];
  files: readonly SpecFile[];
  links: readonly SpecLink[];
  bundles: readonly Bundle[];
  /** systemd units to enable by their [Install] sections. */
  enable: readonly string[];
  /** systemd units to mask. */
  mask: readonly string[];
}>;
