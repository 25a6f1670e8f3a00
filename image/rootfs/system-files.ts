/**
 * What the maintainer scripts of Debian's packages would have written at installation, as data: missing files
 * of /etc, owners and set-id bits, alternatives, the bundle of CA certificates. Called by assemble.ts.
 * Found by comparing an extracted tree with an installed system; each part names the package it stands for.
 */

import { readText, setDirectory, setFile, setSymlink, type Tree } from "./tree.ts";
import { type GroupIds, packageUsers } from "./users.ts";

/** A package no longer brings a file that the configuration builds upon. */
export class SystemFileError extends Error {
  override name = "SystemFileError";
}

/** Configures everything; `groups` are the ids that users.ts gave. */
export function writeSystemFiles(tree: Tree, groups: GroupIds): void {
  baseFiles(tree, groups);
  pamConfiguration(tree);
  certificates(tree);
  systemd(tree);
  owners(tree, groups);
  setSymlink(tree, "usr/bin/awk", "mawk"); // alternatives of mawk
  setSymlink(tree, "usr/bin/pager", "more"); // alternatives of util-linux
  for (const name of ["regulatory.db", "regulatory.db.p7s"]) {
    // alternatives of wireless-regdb, which only a Raspberry Pi has
    if (tree.has(`usr/lib/firmware/${name}-upstream`))
      setSymlink(tree, `usr/lib/firmware/${name}`, `${name}-upstream`);
  }
  tree.delete("etc/fstab");
}

/** base-files, netbase, libc, hostname. */
function baseFiles(tree: Tree, groups: GroupIds): void {
  copy(tree, "usr/share/base-files/profile", "etc/profile");
  copy(tree, "usr/share/base-files/dot.profile", "root/.profile");
  copy(tree, "usr/share/base-files/dot.bashrc", "root/.bashrc");
  setDirectory(tree, "root", { mode: 0o700 });
  for (const path of ["boot", "data", "dev", "mnt", "proc", "run", "sys", "usr/local/bin", "var/log"]) {
    setDirectory(tree, path);
  }
  setDirectory(tree, "tmp", { mode: 0o1777 });
  setDirectory(tree, "var/tmp", { mode: 0o1777 });
  setDirectory(tree, "var/mail", { mode: 0o2775, gid: groupId(groups, "mail") });
  for (const below of [...tree.keys()].filter((path) => /^var\/(run|lock)(\/|$)/.test(path)))
    tree.delete(below);
  setSymlink(tree, "var/run", "/run");
  setSymlink(tree, "var/lock", "/run/lock");
  setFile(
    tree,
    "etc/nsswitch.conf",
    [
      "passwd: files",
      "group: files",
      "shadow: files",
      "gshadow: files",
      // resolve asks systemd-resolved; dns stays for the moments when it does not run.
      "hosts: files resolve [!UNAVAIL=return] myhostname dns",
      "networks: files",
      "protocols: files",
      "services: files",
      "ethers: files",
      "rpc: files",
      "",
    ].join("\n"),
  );
  setFile(tree, "etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
  setFile(tree, "etc/shells", "/bin/sh\n/usr/bin/sh\n/bin/bash\n/usr/bin/bash\n");
  setFile(tree, "etc/locale.conf", "LANG=C.UTF-8\n");
  setSymlink(tree, "etc/localtime", "/usr/share/zoneinfo/Etc/UTC");
  setSymlink(tree, "etc/mtab", "../proc/self/mounts");
}

/** libpam-runtime: what pam-auth-update writes with unix and systemd chosen. */
function pamConfiguration(tree: Tree): void {
  const stack = (type: string, module: string) =>
    `${type} ${module}\n${type} requisite pam_deny.so\n${type} required pam_permit.so\n`;
  const session =
    "session [default=1] pam_permit.so\nsession requisite pam_deny.so\n" +
    "session required pam_permit.so\nsession required pam_unix.so\n";
  setFile(tree, "etc/pam.d/common-auth", stack("auth", "[success=1 default=ignore] pam_unix.so"));
  setFile(
    tree,
    "etc/pam.d/common-account",
    stack("account", "[success=1 new_authtok_reqd=done default=ignore] pam_unix.so"),
  );
  setFile(
    tree,
    "etc/pam.d/common-password",
    stack("password", "[success=1 default=ignore] pam_unix.so obscure yescrypt"),
  );
  setFile(tree, "etc/pam.d/common-session", `${session}session optional pam_systemd.so\n`);
  setFile(tree, "etc/pam.d/common-session-noninteractive", session);
}

/** ca-certificates: the bundle is the certificates one after the other, and OpenSSL's folder links to each. */
function certificates(tree: Tree): void {
  const folder = "usr/share/ca-certificates/";
  let bundle = "";
  for (const path of [...tree.keys()].sort()) {
    if (!path.startsWith(folder) || !path.endsWith(".crt")) continue;
    const certificate = readText(tree, path);
    bundle += certificate.endsWith("\n") ? certificate : `${certificate}\n`;
    const name = path.slice(path.lastIndexOf("/") + 1, -".crt".length);
    setSymlink(tree, `etc/ssl/certs/${name}.pem`, `/${path}`);
  }
  if (bundle === "") throw new SystemFileError("ca-certificates brings no certificates");
  setFile(tree, "etc/ssl/certs/ca-certificates.crt", bundle);
  setDirectory(tree, "etc/ssl/private", { mode: 0o700 });
}

/** systemd, systemd-resolved. */
function systemd(tree: Tree): void {
  // "uninitialized" would be a first boot for systemd, which then asks questions on the console and presets
  // every unit; empty means: take the id that is mounted over it, or a transient one (machine-id(5)).
  setFile(tree, "etc/machine-id", "", { mode: 0o444 });
  setSymlink(tree, "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
  setSymlink(tree, "etc/systemd/system/default.target", "/usr/lib/systemd/system/multi-user.target");
}

/** dpkg-statoverride calls of postfix, openssh-client and dbus; without them mail could not be handed in. */
function owners(tree: Tree, groups: GroupIds): void {
  const postdrop = groupId(groups, "postdrop");
  setOwner(tree, "usr/sbin/postdrop", 0o2555, postdrop);
  setOwner(tree, "usr/sbin/postqueue", 0o2555, postdrop);
  setOwner(tree, "usr/bin/ssh-agent", 0o2755, groupId(groups, "_ssh"));
  setOwner(tree, "usr/lib/dbus-1.0/dbus-daemon-launch-helper", 0o4754, groupId(groups, "messagebus"));
  const postfix = packageUsers.find(({ name }) => name === "postfix")!;
  setDirectory(tree, "var/lib/postfix", { uid: postfix.id, gid: postfix.id });
  // Package postfix: the map types that live in packages of their own, here postfix-lmdb.
  setFile(
    tree,
    "etc/postfix/dynamicmaps.cf",
    "# type\tlibrary\topen function\tmkmap function\nlmdb\tpostfix-lmdb.so\tdict_lmdb_open\tmkmap_lmdb_open\n",
  );
  // Only needed for chrooted services, which master.cf does not use; the original is a Perl script and
  // `postfix check` fails without Perl.
  setFile(tree, "usr/lib/postfix/configure-instance.sh", "#!/bin/sh\nexit 0\n", { mode: 0o755 });
}

function groupId(groups: GroupIds, name: string): number {
  const id = groups.get(name);
  if (id === undefined)
    throw new SystemFileError(`the group ${name} is not in the table of image/rootfs/users.ts`);
  return id;
}

function setOwner(tree: Tree, path: string, mode: number, gid: number): void {
  const entry = tree.get(path);
  if (entry?.type !== "file") throw new SystemFileError(`no package brings /${path} any more`);
  tree.set(path, { ...entry, mode, uid: 0, gid });
}

function copy(tree: Tree, from: string, to: string): void {
  setFile(tree, to, readText(tree, from));
}
