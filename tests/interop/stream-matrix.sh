#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Images of all kinds from awkward disks: QEMU finds no error, no leak and the same content; the
# length is what --measure said; a pipe and a file get the same bytes.
#
# Q2S_MATRIX=full tries each kind of image with each refcount width, size and pattern (an hour).

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img

make_disk=$Q2S_BUILD/tests/interop/make_disk
count=0

# pattern NUMBER CLUSTER SPAN SIZE: what is on the disk, for make_disk.
pattern() {
	local i cluster=$2 span=$3 size=$4 part=$(($2 / 32))

	case $1 in
	0) ;;
	1) # the first and the last byte
		echo data@0+1 "data@$((size > 0 ? size - 1 : 0))+1"
		;;
	2) # every second cluster
		for ((i = 0; i < 16; i += 2)); do
			echo "data@$((i * cluster))+$cluster"
		done
		;;
	3) # across the end of the first L2 table, and nothing before it
		echo "data@$((span > 700 ? span - 700 : 0))+1400"
		;;
	4) # stored zeros, with a byte at the very end of one cluster
		echo "zero@0+$((3 * cluster))" "data@$((2 * cluster - 1))+1" \
			"data@$((size > cluster ? size - cluster : 0))+$cluster"
		;;
	5) # every third subcluster, off by a byte
		for ((i = 0; i < 96; i += 3)); do
			echo "data@$((i * part + 1))+$((part > 1 ? part - 1 : 1))"
		done
		;;
	esac
}

# try OPTIONS SIZE PATTERN CLUSTER SPAN
try() {
	local options=$1 size=$2 length

	# shellcheck disable=SC2046  # a list of words
	"$make_disk" disk "$size" $(pattern "$3" "$4" "$5" "$size")
	expect_exit 0 q2s-stream --measure --output=json -o "$options" disk
	expect_silence
	length=$(sed -n 's/.*"length": \([0-9]*\).*/\1/p' stdout)
	q2s-stream -o "$options" disk | cat >piped
	assert_equal "$length" "$(stat -c %s piped)" "length of -o $options, $size bytes, pattern $3"
	expect_exit 0 q2s-stream -f raw -j 1 -o "$options" disk written
	expect_silence
	assert_same_bytes piped written
	qemu_check_clean piped
	qemu_same_content disk piped
	if command -v q2s-inspect >/dev/null; then
		expect_exit 0 q2s-inspect check piped
	fi
	count=$((count + 1))
}

widths=(16 1 64 2 32 4 8)

# kind OPTIONS CLUSTER SPAN NUMBER: the sizes that matter for an image of this kind. SPAN: what an L2
# table maps. By default, width and pattern go round with size and NUMBER.
kind() {
	local options=$1 cluster=$2 span=$3 n=$4 size width pattern
	local sizes=(0 1 511 512 513 $((cluster - 1)) $((cluster + 1)) $((span - 512)) "$span"
		$((span + 512)) 1073741824 1099511627776)

	for size in "${sizes[@]}"; do
		n=$((n + 1))
		# more than 128 GiB needs more L1 than 512-byte clusters allow
		[ "$size" -le 137438953472 ] || [ "$cluster" -gt 512 ] || continue
		if [ "${Q2S_MATRIX:-}" = full ]; then
			for width in "${widths[@]}"; do
				for pattern in 0 1 2 3 4 5; do
					try "$options,refcount_bits=$width" "$size" "$pattern" \
						"$cluster" "$span"
				done
			done
		elif [ "$((n % 3))" = 0 ]; then
			try "$options,refcount_bits=${widths[n / 3 % 7]}" "$size" "$((n / 3 % 6))" \
				"$cluster" "$span"
		fi
	done
}

number=0
for ((bits = 9; bits <= 21; bits++)); do
	cluster=$((1 << bits))
	kind "cluster_size=$cluster" "$cluster" "$((cluster * cluster / 8))" "$((number++))"
	[ "$bits" -lt 14 ] || kind "cluster_size=$cluster,extended_l2=on" "$cluster" \
		"$((cluster * cluster / 16))" "$((number++))"
done

# Version 2 has 16 bits, and no names of features.
for cluster in 512 65536 2097152; do
	for size in 0 513 $((cluster * cluster / 8 + 512)); do
		try "cluster_size=$cluster,compat=0.10" "$size" 4 "$cluster" "$((cluster * cluster / 8))"
	done
done
echo "$count images"
