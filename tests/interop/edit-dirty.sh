#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Images that QEMU left dirty, with lazy refcounts and a crash: who opens them for writing mends them, as
# QEMU does; where more is wrong they are refused, and stay as they are.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io

# is_dirty IMAGE: has it the dirty bit? Bytes 72 to 79 are the incompatible features.
is_dirty() {
	[ $(($(od -An -tu1 -j 79 -N 1 "$1") & 1)) = 1 ]
}

# mended IMAGE WANTED: a write mends it; all else is as in the raw disk WANTED.
mended() {
	is_dirty "$1" || fail "$1 is not dirty, so this tests nothing"
	expect_exit 0 q2s-edit write --follow=any "$1" data@6M+64k:0x55
	head -c 64k /dev/zero | tr '\0' '\125' | dd of="$2" bs=1M seek=6 conv=notrunc status=none
	! is_dirty "$1" || fail "$1 is still dirty"
	qemu_check_clean "$1"
	expect_exit 0 q2s-inspect check "$1"
	qemu_same_content "$2" "$1" raw qcow2
}

for options in cluster_size=64k cluster_size=512 cluster_size=64k,refcount_bits=1 \
	cluster_size=64k,extended_l2=on; do
	qemu-img create -q -f qcow2 -o "lazy_refcounts=on,$options" image.qcow2 16M
	# 134: qemu-io is told to abort
	expect_exit 134 bash -c 'ulimit -c 0
		exec qemu-io -c "write -P 1 0 1M" -c "write -P 2 10M 3M" -c flush -c abort image.qcow2'
	cp image.qcow2 dirty.qcow2
	qemu-img convert -f qcow2 -O raw image.qcow2 want.raw
	expect_exit 0 q2s-edit write --dry-run image.qcow2 data@6M+64k:0x55
	assert_same_bytes dirty.qcow2 image.qcow2
	mended image.qcow2 want.raw
	rm image.qcow2 want.raw
done

# With a snapshot, which shares clusters whose counts must be 2.
qemu-img create -q -f qcow2 -o lazy_refcounts=on image.qcow2 16M
qemu-io -c 'write -P 1 0 3M' image.qcow2 >/dev/null
qemu-img snapshot -c first image.qcow2
expect_exit 134 bash -c 'ulimit -c 0
	exec qemu-io -c "write -P 2 1M 1M" -c flush -c abort image.qcow2'
qemu-img convert -f qcow2 -O raw image.qcow2 want.raw
qemu-img convert -l first -f qcow2 -O raw image.qcow2 first.raw
mended image.qcow2 want.raw
qemu-img convert -l first -f qcow2 -O raw image.qcow2 got.raw
assert_same_bytes first.raw got.raw

# More than counts is wrong: reserved bits of an L2 entry. Reading does not mind the mark.
# be64 OFFSET: what broken.qcow2 has there
be64() {
	od -An -tu8 --endian=big -j "$1" -N 8 broken.qcow2 | tr -d ' '
}
cp dirty.qcow2 broken.qcow2
l2=$(($(be64 "$(be64 40)") & 0xfffffffffffe00))
printf '\200\0\0\0\0\1\2\3' | dd of=broken.qcow2 bs=1 seek="$l2" conv=notrunc status=none
cp broken.qcow2 before.qcow2
expect_exit 1 q2s-edit write broken.qcow2 data@6M+64k:0x55
expect_stderr '^q2s-edit: broken.qcow2: .*dirty.*more than its refcounts is wrong.*has to be repaired first'
assert_same_bytes before.qcow2 broken.qcow2
