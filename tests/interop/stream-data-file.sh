#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# -d and -R: QEMU reads the disk through the new image from SOURCE, where each cluster is in place.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img

make_disk=$Q2S_BUILD/tests/interop/make_disk

# map IMAGE: what lies where, as QEMU sees it.
map() {
	qemu-img map -f qcow2 --output=json "$1"
}

# facts IMAGE KEY: a field of `qemu-img info`.
fact() {
	qemu-img info -f qcow2 --output=json "$1" | sed -n "s/.*\"$2\": \(.*[^,]\),\?\$/\1/p"
}

for size in 0 1 100001 $((70 << 20)) $((5 << 30)); do
	"$make_disk" disk "$size" data@0+1 "data@65536+$((3 << 20))" "data@$((66 << 20))+65536" \
		"data@$((4 << 30))+4096"
	for options in cluster_size=64k cluster_size=4k,refcount_bits=1 cluster_size=2M \
		cluster_size=64k,extended_l2=on cluster_size=16k,extended_l2=on; do
		rm -f image whole
		expect_exit 0 q2s-stream -d -o "$options" disk image
		expect_silence
		qemu_check_clean image
		qemu_same_content disk image
		assert_equal '"disk"' "$(fact image data-file)" "name of the data file"
		assert_equal false "$(fact image data-file-raw)" "data-file-raw"
		# each stretch of data lies in the data file, at its guest offset
		map image | sed -n 's/.*"start": \([0-9]*\),.*"data": true,.*"offset": \([0-9]*\),.*/\1 \2/p' |
			while read -r start offset; do
				assert_equal "$start" "$offset" "host offset of $start"
			done
		q2s-stream -d -o "$options" disk | cmp - image || fail "a pipe gets other bytes"

		expect_exit 0 q2s-stream -R -o "$options" disk whole
		expect_silence
		qemu_check_clean whole
		qemu_same_content disk whole
		assert_equal true "$(fact whole data-file-raw)" "data-file-raw"
		[ "$size" = 0 ] || ! map whole | grep '"present": false' || fail "a cluster that is not allocated"
		expect_exit 0 q2s-stream --measure -R -o "$options" disk
		expect_stdout "^exact length: $(stat -c %s whole)\$"
	done
done

# -R does not look at the disk: writing to it afterwards shows in the image.
"$make_disk" disk 1000000
q2s-stream -R disk image
printf changed | dd of=disk bs=1 seek=500000 conv=notrunc status=none
qemu_same_content disk image

# The name to record is the one given, and may be chosen.
mkdir folder
mv disk folder/disk
q2s-stream -d folder/disk image
assert_equal '"folder/disk"' "$(fact image data-file)" "name of the data file"
q2s-stream -d -o data_file="$PWD/folder/disk" folder/disk image
qemu_same_content folder/disk image
q2s-stream -d -o data_file=a,,b folder/disk image
cp folder/disk a,b
assert_equal '"a,b"' "$(fact image data-file)" "name of the data file"

# A disk that begins as a qcow2 image is raw all the same.
qemu-img create -q -f qcow2 folder/inner 1G
q2s-stream -d folder/inner image
qemu_same_content folder/inner image
