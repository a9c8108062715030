#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What `qemu-img measure` and `qemu-img map` (QEMU 7.2) say of a raw disk on ext4 or XFS depends on
# who has read it before. Of space that was allocated and never written these file systems say that it
# is a hole as long as none of it is in the page cache, and that it is data once it was read (Linux
# 6.18); btrfs says hole always. The file is the same all the time. So a length that was measured
# may not be that of a second look, and a map is no way to tell whether a disk has changed.
#
# Seen: required size 327680 before, 1376256 after the disk was read, and 327680 again when the cache
# had dropped it; on btrfs 327680 each time.
# shellcheck source=findings/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

[ "$(id -u)" = 0 ] || skip "a file system has to be mounted, which only root can do"
for fs in ext4 xfs btrfs; do
	command -v mkfs.$fs >/dev/null || skip "there is no mkfs.$fs"
done
install "$qemu"
trap 'cd /; umount "$here/work/mnt" 2>/dev/null || :; rm -rf "$here"' EXIT
mkdir mnt

required() {
	qemu-img measure -f raw -O qcow2 mnt/disk.raw | sed -n 's/^required size: //p'
}

# try FS AFTER: what is required once the disk was read
try() {
	rm -f "$1.img"
	truncate -s 600M "$1.img"
	"mkfs.$1" -q "$1.img" >mkfs.log 2>&1 || skip "mkfs.$1: $(tail -n 1 mkfs.log)"
	mount -o loop "$1.img" mnt 2>mount.log || skip "$1: $(cat mount.log)"
	fallocate -l 1M mnt/disk.raw
	sync mnt/disk.raw
	expect "$1, allocated" "$(required)" 327680
	cat mnt/disk.raw >/dev/null
	expect "$1, read" "$(required)" "$2"
	dd if=mnt/disk.raw iflag=nocache count=0 status=none
	expect "$1, dropped from the cache" "$(required)" 327680
	umount mnt
}
try ext4 1376256
try xfs 1376256
try btrfs 327680
