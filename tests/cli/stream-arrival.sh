#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A raw disk from a pipe into a DEST that can be written at any offset: in one pass, with nothing
# kept on the way, which a folder for the spool that does not exist proves.

. "$Q2S_SRC/tests/cli/lib.sh"

export TMPDIR=/nonexistent

# Zeros and data of many lengths, more than the memory that a spool may take, and an odd end.
make_disk() {
	truncate -s "$1" disk.raw
	seq 1 5500000 | dd of=disk.raw conv=notrunc bs=64k seek=3 status=none
	seq 1 1000 | dd of=disk.raw conv=notrunc bs=1 seek=52428877 status=none
	printf 'x' | dd of=disk.raw conv=notrunc bs=1 seek="$(($1 - 1))" status=none
}
make_disk 60000001

# arrives OPTION...: the image is right in every judge's eyes.
arrives() {
	q2s-stream "$@" - image.qcow2 < <(cat disk.raw)
	q2s-inspect check image.qcow2 >report || fail "$* : $(cat report)"
	q2s-stream --compare disk.raw image.qcow2 >report 2>&1 || fail "$(cat report)"
	if command -v qemu-img >/dev/null; then
		qemu-img check -q image.qcow2
		qemu-img compare -q -f raw -F qcow2 disk.raw image.qcow2
	fi
}

for options in cluster_size=512 cluster_size=4k,refcount_bits=1 cluster_size=2M compat=v2 \
	lazy_refcounts=on,compression_type=zstd extended_l2=on,cluster_size=16k,refcount_bits=64 \
	extended_l2=on extended_l2=on,cluster_size=2M,refcount_bits=8; do
	arrives -o "$options"
done
arrives --spool none
arrives --size 60000001

# It is as long as the image that comes through a pipe, and the same each time.
q2s-stream - image.qcow2 < <(cat disk.raw)
assert_equal "$(q2s-stream disk.raw | wc -c)" "$(stat -c %s image.qcow2)" "length"
q2s-stream --size 60000001 - again.qcow2 < <(cat disk.raw)
assert_same_bytes image.qcow2 again.qcow2

# Raw output needs no DEST for that.
truncate -s 60000256 disk.raw # as it is rounded up
q2s-stream -O raw --spool none - < <(cat disk.raw) >got.raw
assert_same_bytes disk.raw got.raw
q2s-stream -O raw - < <(cat disk.raw) | cat >got.raw
assert_same_bytes disk.raw got.raw
q2s-stream -O raw - got.raw < <(cat disk.raw)
assert_same_bytes disk.raw got.raw
[ "$(stat -c %b got.raw)" -le "$(($(stat -c %b disk.raw) + 64))" ] || fail "zeros take space"

# Disks of next to nothing.
for size in 0 1 511 512 513; do
	seq 1 1000 | head -c "$size" >disk.raw
	q2s-stream - image.qcow2 < <(cat disk.raw)
	q2s-inspect check image.qcow2 >report || fail "size $size: $(cat report)"
	truncate -s %512 disk.raw
	q2s-stream --compare disk.raw image.qcow2 >report 2>&1 || fail "$(cat report)"
done

# What was there before stays when the end does not come as promised, or does not come at all.
echo old >kept
for options in '' '-O raw'; do
	# shellcheck disable=SC2086
	expect_exit 1 q2s-stream $options --size 2M - kept < <(head -c 1M /dev/zero)
	expect_stderr 'ends after 1048576 of the 2097152 bytes '
	# shellcheck disable=SC2086
	expect_exit 1 q2s-stream $options --size 1M - kept < <(seq 1 400000)
	expect_stderr 'goes on behind the 1048576 bytes '
	assert_equal old "$(cat kept)" "what was there before"
done
assert_equal '' "$(find . -name '.*.*')" "what is left beside the name"

# What has to be known first, or to go through in order, needs a spool.
for options in '--digest sha256' -z "-o size=1G" "--resume 5" "--limit-rate 1T" --dedup; do
	# shellcheck disable=SC2086
	expect_exit 1 q2s-stream $options - none.qcow2 < <(seq 1 9000000)
	expect_stderr '^q2s-stream: /nonexistent: spool: a temporary file cannot be made here'
done
