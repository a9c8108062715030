#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# -o profile=portable: what contradicts it is refused, and all readers that are here read the image;
# also where the disk came through a pipe, and is nearly full.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img

refused() {
	local word=$1

	shift
	expect_exit 1 "$@"
	expect_stderr "profile.*portable does not go with .*$word"
	[ ! -e new ] || fail "a refused image was made"
}
p=profile=portable
for option in compat=v2 cluster_size=128k refcount_bits=8 extended_l2=on lazy_refcounts=on \
	compression_type=zstd; do
	refused "${option%%=*}" q2s-create -o "$p,$option" new 1M
	refused "${option%%=*}" q2s-stream -o "$p,$option" - new </dev/null
done
q2s-create -q base.qcow2 1M
refused 'backing file' q2s-create -o $p -b base.qcow2 -F qcow2 new
refused data_file q2s-create -o $p,data_file=data new 1M
refused 'backing file' q2s-stream -o $p -f qcow2 -b base.qcow2 -F qcow2 base.qcow2 new
expect_exit 1 q2s-create -o $p -w zero@0+64k new 1M
expect_stderr 'makes zero clusters'
expect_exit 1 q2s-create -o profile=other new 1M
expect_stderr 'portable'

# 3 MiB of data, then zeros, then a last sector.
seq 1 500000 >disk.raw
truncate -s 3M disk.raw
truncate -s 4M disk.raw
printf x | dd of=disk.raw conv=notrunc bs=1 seek=4194303 status=none
seq 1 700000 >full.raw
truncate -s 4M full.raw

seven_zip=$(command -v 7zz || command -v 7z || :)
python=
for candidate in python3 /usr/bin/python3; do
	if "$candidate" -c 'import pyqcow' 2>/dev/null; then
		python=$candidate
	fi
done
decoder=
if command -v nbdkit nbdcopy >/dev/null && nbdkit --filter=qcow2dec file --dump-plugin >nbdkit.log 2>&1; then
	decoder=yes
fi

# all_read RAW IMAGE
all_read() {
	qemu-img check -q "$2"
	qemu-img compare -q -f raw -F qcow2 "$1" "$2"
	if [ -n "$seven_zip" ]; then
		"$seven_zip" x -so -tqcow "$2" >got.raw 2>7z.log || fail "7-Zip: $(tail -n 3 7z.log)"
		assert_same_bytes "$1" got.raw
	fi
	if [ -n "$python" ]; then
		"$python" -c 'import pyqcow, sys
image = pyqcow.file()
image.open(sys.argv[1])
sys.stdout.buffer.write(image.read_buffer(image.get_media_size()))' "$2" >got.raw
		assert_same_bytes "$1" got.raw
	fi
	if [ -n "$decoder" ]; then
		# shellcheck disable=SC2016 # nbdkit expands it
		nbdkit -U - -r --filter=qcow2dec file "$2" --run 'nbdcopy "$uri" got.raw' ||
			fail "nbdkit does not read $2"
		assert_same_bytes "$1" got.raw
	fi
}

for disk in disk.raw full.raw; do
	q2s-stream -o $p "$disk" image.qcow2
	all_read "$disk" image.qcow2
	q2s-stream -o $p -z "$disk" image.qcow2
	all_read "$disk" image.qcow2
	q2s-stream -o $p "$disk" | cat >image.qcow2
	all_read "$disk" image.qcow2
	cat "$disk" | q2s-stream -o $p - image.qcow2
	all_read "$disk" image.qcow2
done
q2s-create -q --force -o $p -w data@64k+128k:7,compressed@1M+64k:8 image.qcow2 4M
q2s-stream -O raw image.qcow2 disk.raw
all_read disk.raw image.qcow2

# The L1 table lies in front of data that came through a pipe, in each cluster size where it fits; what
# was reserved for it and is not used is free.
# shellcheck disable=SC2002 # a pipe is the point
for size in 512 4k 64k 2M; do
	cat full.raw | q2s-stream -c $size - image.qcow2
	qemu-img check -q image.qcow2
	q2s-inspect check -q image.qcow2
	qemu-img compare -q -f raw -F qcow2 full.raw image.qcow2
	bits=$((16#$(od -An -tx1 -j20 -N4 image.qcow2 | tr -d ' \n')))
	at=$((16#$(od -An -tx1 -j40 -N8 image.qcow2 | tr -d ' \n')))
	assert_equal $((1 << bits)) $at "place of the L1 table with clusters of $size"
done

# A disk whose L1 table is longer than what is reserved for it: 512 MiB of clusters of 512 bytes.
{ cat full.raw; head -c 508M /dev/zero; } | q2s-stream -c 512 - image.qcow2
qemu-img check -q image.qcow2
truncate -s 512M full.raw
qemu-img compare -q -f raw -F qcow2 full.raw image.qcow2
