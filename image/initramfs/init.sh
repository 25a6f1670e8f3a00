#!/bin/busybox sh
# First program of the device (/init of the initramfs, busybox): finds the disk it was started from, mounts its
# chosen root file system, makes, checks and grows the data partition with the root file system's own tools, and
# hands over to systemd. Kernel command line: homing.boot=ID (volume id of the boot partition's FAT, 8 hexadecimal
# digits), homing.slot=a|b (root partition).
# Partitions: 1 boot, 2 root-a, 3 root-b, 4 data. 3 and 4 are not in the image; they are made here.
# Nothing here starts the machine again by itself: a card that is damaged would be read and mended in a circle.

export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /tools /overlay /data /root
/bin/busybox --install -s /bin

# By way of the kernel's log to every console: people watch a screen, a serial line, or what their provider shows
# of either, and some serial ports only the kernel can write to. "quiet" lets errors (3) through, nothing less.
say() { echo "<3>homing: $*" >/dev/kmsg; }

# A Raspberry Pi's light blinks, $1 milliseconds on and off (appliance/files/status.ts has the other half); the names
# are those of Linux' device trees and of the Pi's own. Other machines have none.
blink() {
	for led in /sys/class/leds/ACT /sys/class/leds/led0 /sys/class/leds/PWR; do
		[ -e $led/trigger ] || continue
		echo timer >$led/trigger && echo "$1" >$led/delay_on && echo "$1" >$led/delay_off
		return
	done 2>/dev/null
}
starting=100
attention=1000

# Without a root file system there is nothing more to start. Said again for whoever connects a screen later.
fail() {
	blink $attention
	while :; do
		say "$*"
		say "stopped here, nothing was changed; switch the machine off, mend it, switch it on"
		sleep 600
	done
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

# Memory, of which small machines have little. Huge pages are given to programs that use a little of each, and for their
# sake the kernel keeps up to 5 % of all memory free. Of a file, what lies around a page that a program touches would
# count as its own, 64 kB of it. Where a kernel has no such switch, all stays as it is.
{
	echo never >/sys/kernel/mm/transparent_hugepage/enabled
	mount -t debugfs debugfs /sys/kernel/debug && echo 4096 >/sys/kernel/debug/fault_around_bytes
	umount /sys/kernel/debug
} 2>/dev/null

# A Raspberry Pi has no clock; the time of the image is the earliest it can be. systemd knows better later.
built=$(stat -c %Y /init)
[ "$(date +%s)" -ge "$built" ] || date -s "@$built" >/dev/null

slot=a
boot_id=
for word in $(cat /proc/cmdline); do
	case $word in
	homing.slot=*) slot=${word#*=} ;;
	homing.boot=*) boot_id=${word#*=} ;;
	esac
done
[ -n "$boot_id" ] || fail "the kernel command line has no homing.boot=, the volume id of the boot partition"
case $slot in
a) root_number=2 ;;
b) root_number=3 ;;
*) fail "the kernel command line names the slot “$slot”; it must be a or b" ;;
esac

# A driver whose hardware is not there may refuse to load; what matters is whether the disk appears.
while read -r module; do
	insmod "/modules/$module" 2>/dev/null
done </modules/order
blink $starting

# Name of the boot partition: the first one of a disk, with the volume id that the command line names (FAT32
# specification: BS_VolID, little-endian at byte 67). The command line comes from the FAT that the firmware chose, so
# the disk of another relay is never taken. Of two copies of one image the kernel's names decide: a card (mmcblk)
# before NVMe before USB (sd).
boot_partition() {
	for entry in /sys/class/block/*/partition; do
		# Without any disk the pattern itself is what is left.
		[ -e "$entry" ] && [ "$(cat "$entry")" = 1 ] || continue
		name=$(basename "${entry%/partition}")
		[ "$(dd if="/dev/$name" bs=1 skip=67 count=4 2>/dev/null | od -An -tx4 | tr -d ' ')" = "$boot_id" ] || continue
		echo "$name"
		return
	done
}

tries=0
until boot=$(boot_partition) && [ -n "$boot" ]; do
	tries=$((tries + 1))
	if [ $((tries % 600)) -eq 0 ]; then
		blink $attention
		say "no disk with the boot partition $boot_id appeared in $((tries / 10)) seconds, still looking; disks: $(ls /sys/class/block | tr '\n' ' ')"
	fi
	sleep 0.1
done
# Some lights come with a chip that is found late.
blink $starting
disk=$(basename "$(readlink -f "/sys/class/block/$boot/..")")

# Name of partition number $1 of the disk, empty when there is none.
partition() {
	for entry in /sys/class/block/"$disk"/*/partition; do
		[ -e "$entry" ] && [ "$(cat "$entry")" = "$1" ] && basename "$(dirname "$entry")" && return
	done
}

root=$(partition $root_number)
[ -n "$root" ] || fail "/dev/$disk has no partition $root_number for slot $slot"
tools=/tools
mount -t squashfs -o ro "/dev/$root" $tools || fail "the root file system on /dev/$root cannot be mounted"
say "slot $slot on /dev/$root"

# The tools are the root file system's own; they see the devices and a /tmp of their own.
mount -o bind /dev $tools/dev
mount -t proc proc $tools/proc
mount -o bind /sys $tools/sys
mount -t tmpfs tmpfs $tools/tmp
tool() { chroot $tools /usr/bin/env PATH=/usr/sbin:/usr/bin LC_ALL=C "$@"; }

# A tool's words are only of interest when it fails.
quietly() {
	tool "$@" >/tool.log 2>&1 && return
	while read -r line; do say "$line"; done </tool.log
	return 1
}

# What keeps the data partition from being used. The machine then starts without it, so that screen, light and network
# say so; mail stays off (appliance/life/configure.ts), and nothing on the partition is formatted or deleted.
data_problem=
no_data() {
	data_problem=$*
	say "$*"
	return 1
}

# Changes the partition table by the script on stdin and tells the kernel about partition $1.
change_table() {
	number=$1
	shift
	quietly sfdisk --force --no-reread --no-tell-kernel --wipe never --wipe-partitions never "$@" "/dev/$disk" ||
		no_data "the partition table of /dev/$disk cannot be changed" || return
	tool partx --update --nr "$number" "/dev/$disk" 2>/dev/null || quietly partx --add --nr "$number" "/dev/$disk" ||
		no_data "the kernel does not take partition $number of /dev/$disk"
}

set_data_type() {
	quietly sfdisk --force --no-reread --no-tell-kernel --part-type "/dev/$disk" 4 "$1" ||
		no_data "the partition table of /dev/$disk cannot be changed"
}

# The backup of a GPT lies where the image ended, not where the disk does.
move_backup_table() {
	[ "$label" = dos ] || quietly sfdisk --force --no-reread --no-tell-kernel --relocate gpt-bak-std "/dev/$disk" ||
		no_data "the partition table of /dev/$disk cannot be extended"
}

# In a GPT the names help people; an MBR has none.
named() { [ "$label" = dos ] || echo ", name=\"$1\""; }

number_of_sectors() { cat "/sys/class/block/$1/size"; }

# Makes what is missing of the partitions 3 and 4, and the file system of 4.
make_partitions() {
	# Partition tables differ in how they name types. "New" marks a data partition without a finished file system:
	# only such a one is ever formatted, so that no damage to a file system can end in formatting it.
	label=$(tool sfdisk --dump "/dev/$disk" 2>/dev/null | sed -n 's/^label: //p')
	case $label in
	gpt) root_type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709 data_type=0FC63DAF-8483-4772-8E79-3D69D8477DE4 new_type=8DA63339-0007-60C0-C436-083AC8230908 ;;
	dos) root_type=83 data_type=83 new_type=da ;;
	*) no_data "/dev/$disk has a partition table of unknown kind “$label”" || return ;;
	esac
	if [ -z "$(partition 3)" ] || [ -z "$(partition 4)" ]; then
		move_backup_table || return
	fi
	if [ -z "$(partition 3)" ]; then
		say "making the second root partition"
		change_table 3 --append <<-END || return
			size=$(number_of_sectors "$(partition 2)"), type=$root_type$(named root-b)
		END
	fi
	if [ -z "$(partition 4)" ]; then
		say "making the data partition"
		change_table 4 --append <<-END || return
			size=+, type=$new_type$(named homing-data)
		END
	fi
	data=$(partition 4)
	[ -n "$data" ] || no_data "the data partition did not appear" || return

	if [ "$(tool sfdisk --part-type "/dev/$disk" 4 2>/dev/null | tr a-f A-F)" = "$(echo $new_type | tr a-f A-F)" ]; then
		say "formatting the data partition /dev/$data ($(($(number_of_sectors "$data") / 2048)) MiB)"
		# No discard: on some SD cards it takes minutes. The lazy parts are done by the kernel in the background.
		# An inode for every block: a mail of 5 kB takes one of each (Dovecot compresses it), and with mke2fs's own one
		# for four blocks a card would be full of mail when a quarter of it is. Costs 5 % of the disk.
		quietly mkfs.ext4 -q -F -i 4096 -E nodiscard,lazy_itable_init=1,lazy_journal_init=1 -L homing-data "/dev/$data" ||
			no_data "the data partition cannot be formatted" || return
		tool blockdev --flushbufs "/dev/$data"
		set_data_type $data_type || return
	fi
}

# A bigger disk than before: the partition takes what is free behind it (more than 8 MiB).
grow_partition() {
	first=$(cat "/sys/class/block/$data/start")
	free=$(($(number_of_sectors "$disk") - first - $(number_of_sectors "$data")))
	[ $free -gt 16384 ] || return 0
	say "growing the data partition"
	move_backup_table || return
	change_table 4 -N 4 <<-END
		, +
	END
}

# e2fsck: 0 is clean, 1 is repaired, 4 and more is not. What it dares not repair by itself is repaired all the same, for
# nobody could answer its questions; the second time for what the first one's repairs brought to light.
repair() {
	tool e2fsck -p "/dev/$data" >/dev/null 2>&1
	[ $? -le 1 ] && return
	say "the data partition /dev/$data is damaged; repairing it"
	for time in first second; do
		tool e2fsck -y "/dev/$data" >/tool.log 2>&1
		[ $? -le 1 ] && repaired=1 && return
	done
	# A newer e2fsck is what helps then.
	grep -i "unsupported feature" /tool.log | while read -r line; do say "$line"; done
	no_data "the data partition /dev/$data is damaged beyond repair, or the card or disk does not work any more"
}

# The data partition is of a version (/data/version, its first line) that this root file system may be too old for.
known_version() {
	known=$(cat $tools/usr/lib/homing/data-version)
	version=$(sed -n '1s/^\([0-9]\{1,9\}\)$/\1/p' $tools/data/version 2>/dev/null)
	[ "${version:-0}" -le "$known" ] && return
	newer="the data partition is of version $version ($(sed -n 2p $tools/data/version)), this system knows version $known at most"
	umount $tools/data
	no_data "$newer: start a newer one"
}

mount_data() {
	# Without delayed allocation, or ext4 ignores the +j of the mail indexes (appliance/files/system.ts). What is found
	# damaged while it runs makes it read-only: no mail is better than mail that is lost later.
	mount -t ext4 -o noatime,nodelalloc,nosuid,nodev,noexec,errors=remount-ro "/dev/$data" $tools/data ||
		no_data "the data partition /dev/$data cannot be mounted" || return
	known_version || return
	tool resize2fs "/dev/$data" >/dev/null 2>&1 || say "the data partition could not be grown to the size of the disk"
}

repaired=
make_partitions && grow_partition && repair && mount_data

# The root: read-only squashfs below, memory above; what is written outside /data ends with the boot.
umount $tools/tmp $tools/sys $tools/proc $tools/dev
[ -n "$data_problem" ] || mount -o move $tools/data /data
mount -t tmpfs -o mode=755 tmpfs /overlay
mkdir /overlay/upper /overlay/work
mount -t overlay -o lowerdir=$tools,upperdir=/overlay/upper,workdir=/overlay/work overlay /root ||
	fail "the overlay over the root file system cannot be mounted"
# The overlay holds both by itself; their own mount points would only be in the way.
umount $tools /overlay
mkdir -p /root/etc/homing
if [ -z "$data_problem" ]; then
	mount -o move /data /root/data
	# The machine's id must be there before systemd starts; the first boot's is kept by the device itself.
	[ ! -s /root/data/machine-id ] || cp /root/data/machine-id /root/etc/machine-id
else
	echo "$data_problem" >/root/etc/homing/data-problem
fi
[ -z "$repaired" ] || : >/root/etc/homing/data-repaired
# The boot partition is mounted here, where it is known which one it is; read-only but for the import of the relay.
mount -t vfat -o ro,nosuid,nodev,noexec,umask=0077 "/dev/$boot" /root/boot ||
	say "the boot partition /dev/$boot cannot be mounted"
mount -o move /dev /root/dev
umount /sys /proc
exec switch_root /root /usr/lib/systemd/systemd
