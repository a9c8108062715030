#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Compressed streams: sound, as long as was said, the same bytes whoever compresses them and in
# however many parts they are written.

. "$Q2S_SRC/tests/cli/lib.sh"

requires qemu-img

# Text that shrinks, noise that does not, zeros and holes, each at odd places, and a partial end.
disk() {
	local text=$Q2S_SRC/COPYING size=$((9 * 1024 * 1024 + 1234))

	truncate -s "$size" disk.raw
	for at in 0 70000 2097152 3145728; do
		cat "$text" "$text" "$text" | dd of=disk.raw bs=4096 seek=$((at / 4096)) conv=notrunc status=none
	done
	head -c 300000 /dev/urandom | dd of=disk.raw bs=4096 seek=1300 conv=notrunc status=none
	dd if=/dev/zero of=disk.raw bs=4096 count=64 seek=1400 conv=notrunc status=none
	tail -c 1234 "$text" | dd of=disk.raw bs=1 seek=$((size - 1234)) conv=notrunc status=none
}

# parts OPTION...: the image again, from ranges of odd lengths and from a kept plan.
parts() {
	local length at

	length=$(stat -c %s out.qcow2)
	for ((at = 0; at < length; at += 333333)); do
		q2s-stream "$@" --range "$at:$((length - at < 333333 ? length - at : 333333))" disk.raw
	done >parts.qcow2
	assert_same_bytes out.qcow2 parts.qcow2
	q2s-stream "$@" --save-plan disk.plan --measure disk.raw >/dev/null
	for k in 1 2 3; do
		q2s-stream --plan disk.plan --part $k/3 disk.raw
	done >parts.qcow2
	assert_same_bytes out.qcow2 parts.qcow2
	q2s-stream --plan disk.plan --resume 200000 disk.raw >rest.qcow2
	tail -c +200001 out.qcow2 | cmp - rest.qcow2 || fail "$*: the rest differs"
}

try() {
	local said

	q2s-stream "$@" disk.raw out.qcow2
	said=$(q2s-stream "$@" --measure disk.raw | sed -n 's/^exact length: //p')
	assert_equal "$said" "$(stat -c %s out.qcow2)"
	qemu_check_clean out.qcow2
	q2s-inspect check --quiet out.qcow2 || fail "$*: q2s-inspect check"
	qemu_same_content disk.raw out.qcow2 raw qcow2
	q2s-stream -O raw out.qcow2 back.raw
	qemu_same_content disk.raw back.raw raw raw
	q2s-stream "$@" --spool none -j 1 disk.raw | cmp - out.qcow2 || fail "$*: --spool none differs"
	q2s-stream "$@" -j 5 disk.raw | cmp - out.qcow2 || fail "$*: five threads differ"
	parts "$@"
}

disk
for bits in 1 2 4 8 16 32 64; do
	try -z -o refcount_bits=$bits
done
for size in 512 4k 16k 2M; do
	try -z -o cluster_size=$size
	try -zzstd -o cluster_size=$size,refcount_bits=1
done
for type in zlib zlib:9 zstd zstd:1; do
	try -z$type -o extended_l2=on
done
try -z -o compat=0.10

# A cluster that does not shrink stays as it is, so noise is no larger than it was.
head -c 1000000 /dev/urandom >disk.raw
q2s-stream disk.raw plain.qcow2
q2s-stream -zzstd disk.raw out.qcow2
assert_equal "$(stat -c %s plain.qcow2)" "$(stat -c %s out.qcow2)"

# A plan is for its source, and for nothing else.
q2s-stream --save-plan disk.plan --measure disk.raw >/dev/null
touch -d '2001-01-01' disk.raw
expect_exit 1 q2s-stream --plan disk.plan disk.raw
expect_stderr 'modification time is not what it was'
printf x | dd of=disk.plan bs=1 seek=100 conv=notrunc status=none
expect_exit 1 q2s-stream --plan disk.plan disk.raw
expect_stderr 'checksum'
