#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An image of what differs from a base: QEMU reads the source from it, over bases of many shapes, and
# it holds no more than what differs.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img

random_image=$Q2S_BUILD/tests/interop/random_image
diff_units=$Q2S_BUILD/tests/interop/diff_units

# change FILE COUNT: overwrite pieces of a raw file with other bytes, or with zeros.
change() {
	local size i at length from

	size=$(stat -c %s "$1")
	for ((i = 0; i < $2; i++)); do
		at=$(((RANDOM * 32768 + RANDOM) % (size + 1)))
		length=$(((RANDOM % 3 ? RANDOM % 3000 : RANDOM * 13) % (size - at + 1)))
		from=/dev/urandom
		[ $((RANDOM % 3)) != 0 ] || from=/dev/zero
		head -c "$length" "$from" |
			dd of="$1" bs=64k oflag=seek_bytes seek="$at" conv=notrunc status=none
	done
}

# held IMAGE: "DATA ZERO", the bytes that this layer itself says are data and zero.
held() {
	qemu-img map -U --output=json "$1" | sed 's/[][{},"]//g' | awk '
		{
			split("", f)
			for (i = 1; i < NF; i += 2) f[$i] = $(i + 1)
			if (f["depth:"] != 0 || f["present:"] != "true") next
			if (f["data:"] == "true") data += f["length:"]
			else if (f["zero:"] == "true") zero += f["length:"]
		}
		END { printf "%.0f %.0f\n", data, zero }'
}

count=0

# judge UNIT V SOURCE FORMAT SOURCE_RAW BASE FORMAT BASE_RAW OPTION...: make it and look at it. UNIT is
# what one entry stands for, V the version; the RAW files hold the same guest bytes.
judge() {
	local unit=$1 version=$2 source=$3 source_format=$4 source_raw=$5
	local base=$6 base_format=$7 base_raw=$8 want

	shift 8
	rm -f out
	q2s-stream -f "$source_format" -b "$base" -F "$base_format" "$@" "$source" out
	qemu_check_clean out
	qemu_same_content "$source_raw" out
	# What the base has is not in the image, down a pipe no more than in a file.
	q2s-stream -f "$source_format" -b "$base" -F "$base_format" "$@" "$source" | cat >piped
	assert_same_bytes out piped
	assert_equal "$base" "$(qemu-img info --output=json out |
		sed -n 's/^    "backing-filename": "\(.*\)",*/\1/p')" "backing file"
	want=$("$diff_units" "$source_raw" "$base_raw" "$unit")
	[ "$version" = 3 ] || want="$((${want% *} + ${want#* })) 0"
	assert_equal "$want" "$(held out)" "data and zeros in the image of $* ($seed)"
	count=$((count + 1))
}

# UNIT V OPTION...: the kinds of images.
kinds=()
for cluster in 512 4096 65536 2097152; do
	kinds+=("$cluster 3 -c $cluster" "$cluster 2 -c $cluster -o compat=v2")
done
for cluster in 16384 65536 2097152; do
	kinds+=("$((cluster / 32)) 3 -c $cluster -o extended_l2=on")
done

# all_kinds SOURCE FORMAT SOURCE_RAW BASE FORMAT BASE_RAW: in all kinds of images.
all_kinds() {
	local kind unit version options

	for kind in "${kinds[@]}"; do
		read -r unit version options <<<"$kind"
		# shellcheck disable=SC2086
		judge "$unit" "$version" "$@" $options
	done
}

# some_kinds ...: in some of them, each time in others.
next_kind=0
some_kinds() {
	local every=("${kinds[@]}") kinds=() i

	for i in 0 4 8; do
		kinds+=("${every[(next_kind + i) % ${#every[@]}]}")
	done
	next_kind=$((next_kind + 1))
	all_kinds "$@"
}

RANDOM=4711
seed=raw
head -c 3000001 /dev/urandom >base.raw
truncate -s 5000001 base.raw
change base.raw 10

# Of the same size; nothing differs; all differs; one is empty.
cp base.raw source.raw
some_kinds source.raw raw source.raw base.raw raw base.raw
change source.raw 15
all_kinds source.raw raw source.raw base.raw raw base.raw
truncate -s 5000001 hole.raw
all_kinds hole.raw raw hole.raw base.raw raw base.raw
some_kinds source.raw raw source.raw hole.raw raw hole.raw
: >empty.raw
some_kinds source.raw raw source.raw empty.raw raw empty.raw
some_kinds empty.raw raw empty.raw base.raw raw base.raw

# Of other sizes: what BASE has behind SOURCE's end is not shown, and behind BASE's end are zeros.
for size in 1 511 513 2000000 2097152 4999999 5000002 7000000; do
	cp source.raw other.raw
	truncate -s "$size" other.raw
	some_kinds other.raw raw other.raw base.raw raw base.raw
	some_kinds base.raw raw base.raw other.raw raw other.raw
done

# A disk that is made larger is zero there, also where BASE is not.
head -c 100000 base.raw >short.raw
cp short.raw padded.raw
truncate -s 4000256 padded.raw
q2s-stream -b base.raw -F raw -o size=4000256 short.raw out
qemu_check_clean out
qemu_same_content padded.raw out

# Images at random as base, and as source over them: files are shared, and the metadata is trusted.
for ((seed = 1; seed <= ${Q2S_SEEDS:-5}; seed++)); do
	"$random_image" "$seed" base
	qemu-img convert -f qcow2 -O raw base base.raw
	"$random_image" "$((seed + 100000))" top base qcow2
	qemu-img convert -f qcow2 -O raw top top.raw
	cp base.raw source.raw
	change source.raw 9
	truncate -s $((RANDOM * 300)) source.raw
	some_kinds source.raw raw source.raw base qcow2 base.raw
	all_kinds top qcow2 top.raw base qcow2 base.raw
	"$random_image" "$((seed + 200000))" other
	qemu-img convert -f qcow2 -O raw other other.raw
	some_kinds other qcow2 other.raw top qcow2 top.raw
done

echo "$count images, each as small as it can be"
