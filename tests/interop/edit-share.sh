#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# On a file system that can, q2s-edit commit and rebase share whole clusters instead of copying them.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/edit-lib.sh"
requires root qemu-img qemu-io mount umount mkfs.xfs

truncate -s 400M disk
mkfs.xfs -q -f -m reflink=1 disk 2>mkfs.log || skip "this mkfs.xfs makes no such file system"
mkdir mounted
mount -o loop disk mounted 2>mount.log || skip "cannot mount a loop device: $(cat mount.log)"
cleanup_fn sh -c "umount '$tmp/mounted' 2>/dev/null"
cleanup_fn cd /
cd mounted

# used: blocks that the file system has in use, when all is written.
used() {
	sync -f .
	df --output=used -B 1024 . | tail -n 1
}

for options in cluster_size=64k cluster_size=64k,extended_l2=on; do
	head -c 20M /dev/urandom >first
	qemu-img create -q -f qcow2 -o "$options" base 20M
	qemu-img convert -f raw -O qcow2 -o "$options" -B base -F qcow2 first over
	before=$(used)
	q2s-edit commit -q -d --follow=beside over
	[ $(($(used) - before)) -lt 4096 ] || fail "commit took $(($(used) - before)) KiB ($options)"
	qemu_same_content first base
	qemu_check_clean base

	# Writing to one of the two changes it alone.
	q2s-edit write -q base zero-alloc@1M+1M data@5M+1M:7
	qemu_same_content first over

	qemu-img create -q -f qcow2 -b over -F qcow2 -o "$options" top
	qemu-img create -q -f qcow2 empty 20M
	before=$(used)
	q2s-edit rebase -q --follow=beside -b empty -F qcow2 top
	[ $(($(used) - before)) -lt 4096 ] || fail "rebase took $(($(used) - before)) KiB ($options)"
	qemu_same_content first top
	qemu_check_clean top
	rm -f first base over top empty
done
