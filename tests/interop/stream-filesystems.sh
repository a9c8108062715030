#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Disks with real file systems on them: streamed through a pipe, brought back, mounted, and compared
# with the folder that they were made from.

. "$Q2S_SRC/tests/cli/lib.sh"
requires root qemu-img mount umount losetup

# A folder of all that a file system may hold.
mkdir folder mounted
cp -a "$Q2S_SRC/lib" "$Q2S_SRC/include" "$Q2S_SRC/tests" folder
ln -s lib/io folder/symlink
ln folder/lib/io/sink.c folder/hardlink
truncate -s 1G folder/sparse
printf x | dd of=folder/sparse bs=1 seek=500000000 conv=notrunc status=none
head -c 3000000 /dev/urandom >folder/random
head -c 3000000 /dev/zero >folder/zeros
mkfifo folder/fifo
chmod 4711 folder/random

# mounted_as FILE: mount it, or skip where that is not possible.
mounted_as() {
	mount -o loop "$@" mounted 2>mount.log || skip "cannot mount a loop device: $(cat mount.log)"
}
cleanup_fn sh -c "umount '$tmp/mounted' 2>/dev/null"

# same_folder FILE OPTIONS: on this raw disk, mounted with these, is the folder.
same_folder() {
	local extra=$2

	mounted_as -o "ro$extra" "$1"
	diff -r --no-dereference folder mounted -x lost+found -x fifo ||
		fail "the folder came back with differences"
	[ -p mounted/fifo ] || fail "the FIFO is gone"
	assert_equal 4711 "$(stat -c %a mounted/random)" "mode"
	umount mounted
}

# Write, remove and write again: used and freed blocks of all ages.
fill() {
	cp -a folder/lib mounted/first
	sync -f mounted
	cp -a folder/. mounted
	rm -r mounted/first
	umount mounted
}

tried=0
for kind in ext4 xfs btrfs; do
	command -v "mkfs.$kind" >/dev/null || { echo "left out: no mkfs.$kind"; continue; }
	extra=
	rm -f disk
	truncate -s 400M disk
	case $kind in
	ext4) mkfs.ext4 -q -F disk ;;
	xfs)
		mkfs.xfs -q -f disk
		extra=,norecovery
		;;
	btrfs) mkfs.btrfs -q -f disk >/dev/null 2>&1 ;;
	esac
	grep -qw "$kind" /proc/filesystems || modprobe "$kind" 2>/dev/null || {
		echo "left out: this kernel has no $kind"
		continue
	}
	mounted_as disk
	fill
	for options in cluster_size=4k,refcount_bits=8 cluster_size=64k,extended_l2=on; do
		rm -f back
		q2s-stream -o "$options" disk | cat >image
		qemu_check_clean image
		qemu_same_content disk image
		qemu-img convert -f qcow2 -O raw image back
		same_folder back "$extra"
		q2s-stream -f qcow2 -O raw image | cmp - disk || fail "our own way back differs"
	done
	tried=$((tried + 1))
done
[ "$tried" -gt 0 ] || skip "no file system could be made"

# On a file system that shares blocks, an image costs little more than its metadata.
rm -f back
if command -v mkfs.xfs >/dev/null && grep -qw xfs /proc/filesystems; then
	truncate -s 400M host
	mkfs.xfs -q -f host
	mounted_as host
	head -c $((48 << 20)) /dev/urandom >mounted/disk
	sync -f mounted
	before=$(df --output=used -B1 mounted | tail -n 1)
	q2s-stream mounted/disk mounted/image
	q2s-stream -O raw mounted/disk mounted/copy
	sync -f mounted
	after=$(df --output=used -B1 mounted | tail -n 1)
	qemu_same_content mounted/disk mounted/image
	cmp mounted/disk mounted/copy || fail "the copy differs"
	[ $((after - before)) -lt 10000000 ] || fail "$((after - before)) bytes for two shared files"
	umount mounted
fi
