/**
 * The programs that run virtual machines: the disk file that each takes, and how it becomes a machine there. README.md
 * has the same in its table of hypervisors. Called by the wizard's steps; pure.
 */
import type { ImageForm } from "../../image/build.ts";
import { shellQuote } from "../shell-quote.ts";

/** A line to be typed into a shell, or a sentence. */
export type ImportStep = Readonly<{ command: string }> | Readonly<{ words: string }>;

type Hypervisor = Readonly<{
  label: string;
  hint: string;
  form: ImageForm;
  steps: (image: string) => readonly ImportStep[];
}>;

const QCOW2 = "A qcow2 file: a disk of 8 GB that takes room as it fills.";
const VMDK = "A vmdk file: a disk of 8 GB that takes room as it fills.";

export const hypervisors = {
  libvirt: {
    label: "libvirt (virt-manager, virt-install) or QEMU",
    hint: QCOW2,
    form: "qcow2",
    steps: (image) => [
      { words: "On the computer that shall run it:" },
      {
        command: `virt-install --import --name relay --memory 1024 --osinfo debian13 --disk ${shellQuote(image)}`,
      },
    ],
  },
  proxmox: {
    label: "Proxmox",
    hint: QCOW2,
    form: "qcow2",
    steps: (image) => [
      { words: "Copy the file to the Proxmox host, and there, with a number that is free for 100:" },
      { command: "qm create 100 --memory 1024 --net0 virtio,bridge=vmbr0 --scsihw virtio-scsi-pci" },
      { command: `qm importdisk 100 ${shellQuote(image)} local` },
      { command: "qm set 100 --scsi0 local:100/vm-100-disk-0.raw --boot order=scsi0" },
    ],
  },
  virtualbox: {
    label: "VirtualBox",
    hint: VMDK,
    form: "vmdk",
    steps: (image) => [
      { words: "“New”, “Debian (64-bit)”, 1024 MB of memory." },
      { words: `“Use an existing virtual hard disk file”: ${image}` },
    ],
  },
  vmware: {
    label: "VMware",
    hint: VMDK,
    form: "vmdk",
    steps: (image) => [
      { words: "A new machine, “Debian 64-bit”, 1024 MB of memory; network card VMXNET3 or e1000e." },
      { words: `Its disk on PVSCSI or SATA: “Use an existing virtual disk”, ${image}` },
    ],
  },
  utm: {
    label: "UTM",
    hint: QCOW2,
    form: "qcow2",
    steps: (image) => [
      { words: "“Create”, “Emulate”, “Other”; no boot device, x86_64, 1024 MB of memory." },
      { words: `“Edit”, “Drives”, “New”, “Import”: ${image}` },
    ],
  },
  other: {
    label: "Another one, or a hosting provider that takes images",
    hint: "A raw image, byte for byte as on a disk; all of them know that.",
    form: "raw",
    steps: (image) => [
      {
        words:
          "Give it to your hypervisor or provider as the disk of a machine: x86-64, BIOS or UEFI without Secure Boot, " +
          "512 MB of memory or more. Make the disk 2 GB or larger first:",
      },
      { command: `qemu-img resize -f raw ${shellQuote(image)} 8G` },
    ],
  },
} as const satisfies Readonly<Record<string, Hypervisor>>;
export type HypervisorId = keyof typeof hypervisors;

export const hypervisorIds = Object.keys(hypervisors) as [HypervisorId, ...HypervisorId[]];

/** An image of another kind than the chosen program takes was made for an earlier answer. */
export function hypervisorFor(chosen: HypervisorId | undefined, image: string): HypervisorId {
  const form = (["qcow2", "vmdk"] as const).find((one) => image.endsWith(`.${one}`)) ?? "raw";
  const takes = (id: HypervisorId) => hypervisors[id].form === form;
  return chosen !== undefined && takes(chosen) ? chosen : (hypervisorIds.find(takes) ?? "other");
}
