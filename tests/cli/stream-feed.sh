#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A qcow2 image from a pipe as a raw one: read while it comes, where its tables come first; what of
# it has to wait does, and what has passed is given back. A folder of 1 MiB shows how much that is.

. "$Q2S_SRC/tests/cli/lib.sh"

mkdir small
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=1M none small 2>/dev/null; then
	cleanup_fn umount "$tmp/small"
	export TMPDIR=$tmp/small
else
	echo "no small folder: how much has to wait is not seen"
fi

truncate -s 64M disk.raw
for at in 1 17 18 40 63; do
	head -c 900000 /dev/urandom | dd of=disk.raw bs=1M seek=$at conv=notrunc status=none
done
seq 1 400000 | dd of=disk.raw bs=1M seek=50 conv=notrunc status=none

# decodes IMAGE [RAW [OPTION...]]: through the pipe, to standard output and to a file.
decodes() {
	local raw=${2:-disk.raw}

	q2s-stream -O raw "${@:3}" - < <(cat "$1") | cmp - "$raw" || fail "$1 to a pipe: $*"
	q2s-stream -O raw "${@:3}" - out.raw < <(cat "$1")
	assert_same_bytes "$raw" out.raw
}

for options in cluster_size=64k cluster_size=512 compat=v2 extended_l2=on; do
	q2s-stream -o "$options" disk.raw >image.qcow2
	decodes image.qcow2
done
q2s-stream disk.raw >image.qcow2

# The writer is not cut off: all of a stream is read, whatever follows what was needed.
(cat image.qcow2 && head -c 3M /dev/zero && echo "done" >said) | q2s-stream -O raw - out.raw
assert_equal "done" "$(cat said)" "the writer's last word"

# A stream that ends too early is an error wherever it ends.
for length in 20 100 70000 262100 327680 400000 2000000 "$(($(stat -c %s image.qcow2) - 70000))"; do
	expect_exit 1 q2s-stream -O raw - out2.raw < <(head -c "$length" image.qcow2)
	expect_stderr '^q2s-stream: standard input: '
	[ ! -e out2.raw ] || fail "an image of half a disk was left behind"
done
# But the tail of the last cluster may be missing, as in a file.
length=$(($(stat -c %s image.qcow2) - 1000))
head -c "$length" image.qcow2 >short.qcow2
q2s-stream -O raw short.qcow2 short.raw
decodes short.qcow2 short.raw

# What is used several times is kept: shared clusters, snapshots, streams, tables at the end.
export TMPDIR=$tmp
q2s-stream -O raw --resume 20M - < <(cat image.qcow2) | cmp - <(tail -c +20971521 disk.raw)
q2s-stream -o cluster_size=2M disk.raw >large.qcow2
decodes large.qcow2
q2s-stream --dedup -c 4096 disk.raw >shared.qcow2
decodes shared.qcow2
q2s-stream -z disk.raw >compressed.qcow2
decodes compressed.qcow2
q2s-stream - last.qcow2 < <(cat disk.raw)
decodes last.qcow2
if command -v qemu-img >/dev/null && command -v qemu-io >/dev/null; then
	cp image.qcow2 snapshot.qcow2
	qemu-img snapshot -c one snapshot.qcow2
	qemu-io -f qcow2 -c 'write -P 5 17M 2M' snapshot.qcow2 >/dev/null
	q2s-stream -O raw snapshot.qcow2 new.raw
	decodes snapshot.qcow2 new.raw
	decodes snapshot.qcow2 disk.raw -s one
fi

# An image that lies about it is refused, not read wrong: here two clusters of the guest are one,
# and each entry says that it is the only one.
table=$((4 * 65536))
dd if=image.qcow2 bs=8 skip=$((table / 8 + 16)) count=1 status=none |
	dd of=image.qcow2 bs=8 seek=$((table / 8 + 900)) conv=notrunc status=none
q2s-stream -O raw image.qcow2 out.raw
expect_exit 1 q2s-stream -O raw - out2.raw < <(cat image.qcow2)
expect_stderr 'standard input: stream at host offset 0x[0-9a-f]*: the image says that these bytes are used once'
