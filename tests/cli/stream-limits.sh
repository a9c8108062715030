#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Sizes at the edge of what the format, QEMU and the file system can hold; and names that are odd.

. "$Q2S_SRC/tests/cli/lib.sh"

# tmpfs takes files of any size; elsewhere the largest disks are left out.
folder=$(mktemp -d /dev/shm/q2s-test.XXXXXX 2>/dev/null) || folder=$tmp
cleanup_fn rm -rf "$folder"
disk=$folder/disk image=$folder/image

# sparse SIZE: a disk of that many bytes without data; false where the file system cannot have one.
sparse() {
	rm -f "$disk"
	truncate -s "$1" "$disk" 2>/dev/null || {
		echo "left out: a disk of $1 bytes"
		return 1
	}
}

# length OPTIONS...: of the image of the disk.
length() {
	q2s-stream --measure "$@" "$disk" | sed -n 's/exact length: //p'
}

# refused REGEX OPTIONS...: no such image can be, and one line says why.
refused() {
	expect_exit 1 q2s-stream "${@:2}" "$disk" "$image"
	expect_stderr "$1"
	assert_equal 1 "$(wc -l <stderr)" "lines of stderr"
	[ ! -e "$image" ] || fail "an image all the same"
}

G=$((1 << 30))

# The L1 table of an image with 512-byte clusters ends at 128 GiB: 32 MiB of entries.
sparse $((128 * G))
q2s-stream -c 512 "$disk" >"$image"
assert_equal "$(length -c 512)" "$(stat -c %s "$image")" "length"
rm "$image"
sparse $((128 * G + 512))
refused 'L1 table' -c 512
expect_exit 0 q2s-stream -c 1024 --measure "$disk"

# With extended L2 entries it ends at half of what it would without.
if sparse $((64 * 1024 * G)); then
	expect_exit 0 q2s-stream --measure -o cluster_size=16k,extended_l2=on "$disk"
	truncate -s +512 "$disk"
	refused 'L1 table' -o cluster_size=16k,extended_l2=on
	expect_exit 0 q2s-stream --measure -c 16k "$disk"
fi

# A full image would need a larger refcount table than QEMU takes; this one does not.
sparse $((33 * G))
q2s-stream -c 512 -r 64 "$disk" "$image"
assert_equal "$(length -c 512 -r 64)" "$(stat -c %s "$image")" "length"
rm "$image"

# 2 EiB is the largest disk with standard entries; the largest files are beyond it.
if sparse $((1 << 61)); then
	q2s-stream -c 2M "$disk" "$image"
	assert_equal "$(length -c 2M)" "$(stat -c %s "$image")" "length"
	rm "$image"
fi
for size in $(((1 << 61) + 512)) $((1 << 62)) 9223372036854775296 9223372036854775807; do
	! sparse "$size" || refused 'L1 table|2\^63|size' -c 2M
done

# Memory follows the data, not the size.
sparse $((1 << 50)) || sparse $((1 << 43))
printf x | dd of="$disk" bs=1 seek=$((1 << 42)) conv=notrunc status=none
if ! grep -q '^#define HAVE_SANITIZERS 1$' "$Q2S_BUILD/config.h"; then
	expect_exit 0 bash -c "ulimit -v 300000; exec q2s-stream -j 2 '$disk' '$image'"
	rm "$image"
fi

# Names.
names=($'new\nline' $'not \xff utf-8' 'a,comma' ./-dash 'json:{}' 'nbd:host' "$(printf '%0255d' 0)")
truncate -s 1M "${names[@]}"
for name in "${names[@]}"; do
	expect_exit 0 q2s-stream "$name" out
	expect_silence
	expect_exit 0 q2s-stream out "$name"
	expect_exit 0 q2s-stream -d -o cluster_size=4k "$name" out
	expect_exit 0 q2s-stream -- "$name" out
done
expect_exit 0 q2s-stream -- -dash out
expect_exit 1 q2s-stream $'no such\nfile \e[2J' out
assert_equal 1 "$(wc -l <stderr)" "lines of stderr"
expect_stderr '^q2s-stream: no such\\x0afile \\x1b\[2J: '

# A name that does not fit into the first cluster.
long=$(printf '%0250d' 0)
mkdir "$long"
truncate -s 1M "$long/$long"
expect_exit 0 q2s-stream -d -c 1024 "$long/$long" out
rm out
expect_exit 1 q2s-stream -d -c 512 "$long/$long" out
expect_stderr 'data_file: the name does not fit into the first cluster'
[ ! -e out ] || fail "an image all the same"
