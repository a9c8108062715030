#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Options of the new image show in it as QEMU understands them, and --measure agrees with qemu-img's.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img

make_disk=$Q2S_BUILD/tests/interop/make_disk
"$make_disk" disk $((100 << 20)) data@0+1000000 "data@$((50 << 20))+1" "data@$((90 << 20))+3000000"

# same_facts OPTIONS: as the image that qemu-img makes with the same options.
same_facts() {
	local image

	rm -f theirs ours
	qemu-img create -q -f qcow2 -o "$1" theirs $((100 << 20))
	q2s-stream -o "$1" disk ours
	for image in theirs ours; do
		qemu-img info --output=json "$image" | sed -e '/^    "children": \[/,/^    \]/d' \
			-e '/"actual-size":/d' -e '/^    "filename":/d' >"$image.info"
	done
	diff theirs.info ours.info || fail "info differs with -o $1"
	qemu_check_clean ours
	qemu_same_content disk ours
}

for options in cluster_size=64k cluster_size=512 compat=0.10 compat=v2 compat=1.1 lazy_refcounts=on \
	compression_type=zstd refcount_bits=1 refcount_bits=64,cluster_size=2M extended_l2=on \
	extended_l2=on,cluster_size=2M,lazy_refcounts=on; do
	same_facts "$options"
done

# A larger virtual size: what is behind the disk reads as zero.
for size in 104857601 200M 1T; do
	for more in '' --trust-holes; do
		# shellcheck disable=SC2086  # a word or none
		q2s-stream $more -o size="$size" disk image
		qemu_check_clean image
		cp disk longer
		truncate -s "$size" longer
		qemu_same_content longer image
	done
done

# --trust-holes stores what is data, zeros included, and changes nothing that is read.
"$make_disk" zeros $((20 << 20)) zero@0+5000000 data@10000000+5000000
for options in cluster_size=64k cluster_size=4k cluster_size=64k,extended_l2=on; do
	q2s-stream -o "$options" zeros less
	q2s-stream --trust-holes -o "$options" zeros more
	qemu_check_clean more
	qemu_same_content zeros more
	[ "$(stat -c %s more)" -gt "$(stat -c %s less)" ] || fail "--trust-holes looked all the same"
done

# numbers: of a JSON measure, without what only we tell.
numbers() {
	sed -n 's/.*"\(required\|fully-allocated\)": \([0-9]*\).*/\1 \2/p' | sort
}

for options in cluster_size=64k cluster_size=512 cluster_size=4k,refcount_bits=1 cluster_size=2M \
	cluster_size=64k,extended_l2=on compat=0.10; do
	for size in 0 512 1000000 $((100 << 20)) $((1 << 37)); do
		rm -f sparse
		truncate -s "$size" sparse
		assert_equal "$(qemu-img measure -f raw -O qcow2 -o "$options" --output=json sparse | numbers)" \
			"$(q2s-stream -f raw --measure --output=json -o "$options" sparse | numbers)" \
			"measure of $size bytes with $options"
	done
	assert_equal "$(qemu-img measure -f raw -O qcow2 -o "$options" --output=json disk | numbers |
		grep full)" \
		"$(q2s-stream --measure --output=json -o "$options" disk | numbers | grep full)" \
		"measure with $options"
done
assert_equal "$(qemu-img measure -f raw -O raw --output=json sparse | numbers)" \
	"$(q2s-stream -f raw -O raw --measure --output=json sparse | numbers)" "measure -O raw"

# Our own number is the length, whatever theirs is.
for options in cluster_size=64k cluster_size=4k,extended_l2=off cluster_size=64k,extended_l2=on; do
	assert_equal "exact length: $(q2s-stream -o "$options" disk | wc -c)" \
		"$(q2s-stream --measure -o "$options" disk | tail -n 1)" "length with $options"
done
