#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# With the map that qemu-img prints of a disk, the image is what it is without: byte by byte, or at
# least for its reader.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io

random_image=$Q2S_BUILD/tests/interop/random_image

# same SOURCE FORMAT [ARG...]
same() {
	local source=$1 format=$2

	shift 2
	qemu-img map -U -f "$format" --output=json "$source" >map.json
	rm -f out out.raw
	q2s-stream -f "$format" --extents map.json "$@" "$source" out
	qemu_check_clean out
	qemu_same_content "$source" out "$format"
	q2s-stream -f "$format" "$@" "$source" straight
	assert_same_bytes straight out
	q2s-stream -f "$format" --extents map.json -O raw "$source" out.raw
	qemu_same_content "$source" out.raw "$format" raw
}

truncate -s 300M sparse.raw
for ((at = 0; at < 300; at += 37)); do
	head -c $((at * 1000 + 1)) /dev/urandom |
		dd of=sparse.raw bs=1M seek="$at" conv=notrunc status=none
done
same sparse.raw raw
same sparse.raw raw -o extended_l2=on
truncate -s 1000003 sparse.raw
same sparse.raw raw -c 512
: >empty.raw
same empty.raw raw

qemu-img convert -f raw -O qcow2 -c sparse.raw base
qemu-img create -q -f qcow2 -b base -F qcow2 -o extended_l2=on top 3M
qemu-io -f qcow2 -c 'write -P 5 64k 4k' -c 'write -z 100k 300k' -c 'write -P 0 2M 64k' top >/dev/null
same base qcow2
same top qcow2 -c 4k

for ((seed = 1; seed <= ${Q2S_SEEDS:-8}; seed++)); do
	"$random_image" "$((seed + 500000))" base
	"$random_image" "$((seed + 600000))" top base qcow2
	same top qcow2
done
