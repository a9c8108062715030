#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Raw output with a size of its own: the disk, and zeros behind it, on every road.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img

make_disk=$Q2S_BUILD/tests/interop/make_disk
"$make_disk" disk $((3 << 20)) data@0+100000 data@$((2 << 20))+$((1 << 20))
truncate -s 3146001 odd
dd if=disk of=odd conv=notrunc bs=1M status=none
printf x | dd of=odd conv=notrunc bs=1 seek=3146000 status=none
qemu-img convert -f raw -O qcow2 disk disk.qcow2

for source in disk odd disk.qcow2; do
	for size in 3146240 4M 1G; do
		cp "$source" want
		case $source in *.qcow2) cp disk want ;; esac
		truncate -s "$size" want
		rm -f out
		q2s-stream -O raw -o size="$size" "$source" out
		cmp out want
		[ "$(stat -c %b out)" -lt 20480 ] || fail 'the zeros behind the disk take space'
		[ "$size" = 1G ] || q2s-stream -O raw -o size="$size" "$source" | cmp - want
		[ "$size" = 1G ] || q2s-stream -O raw -o size="$size" - <"$source" | cmp - want
		rm -f out
		# shellcheck disable=SC2002 # a pipe is what is meant
		cat "$source" | q2s-stream -O raw -o size="$size" - out
		cmp out want
		assert_equal "exact length: $(stat -c %s want)" \
			"$(q2s-stream -O raw --measure -o size="$size" "$source" | tail -n 1)" length
	done
done

# Whole sectors, as ever; the last size counts, and the order of options does not.
q2s-stream -o size=9M,size=3500001 -O raw disk out
assert_equal 3500032 "$(stat -c %s out)" size

# Any part of it alone.
cp disk want
truncate -s 5M want
for part in 1 2 3 4 5; do
	q2s-stream -O raw -o size=5M --part $part/5 disk
done | cmp - want
q2s-stream -O raw -o size=5M --range 4M:1000 disk | cmp - <(head -c 1000 /dev/zero)
q2s-stream -O raw -o size=5M --resume 3145727 disk | cmp -i 0:3145727 - want

# What the disk holds is never cut off, and what was there before stays.
echo before >out
for source in disk odd disk.qcow2; do
	expect_exit 1 q2s-stream -O raw -o size=3145727 "$source" out
	expect_stderr 'size: is less than the 314[0-9]* bytes of the disk'
done
# shellcheck disable=SC2002
cat disk | expect_exit 1 q2s-stream -O raw -o size=1M - out
expect_stderr 'size: the disk is longer than the 0x100000 bytes of the image'
expect_exit 1 q2s-stream -O raw -o size=1M --size 3M - out < <(cat disk)
expect_stderr 'size: is less than the 3145728 bytes of the disk'
assert_equal before "$(cat out)" 'what was there'

# What is for qcow2 is refused, and -o help tells the rest.
expect_exit 1 q2s-stream -O raw -o size=4M,compat=v2 disk out
expect_stderr '-O raw takes no options of a qcow2 image, such as compat; '
expect_exit 1 q2s-stream -O raw -o sise=4M disk out
expect_stderr "unknown key 'sise'; known: size.*did you mean 'size'"
expect_exit 0 q2s-stream -O raw -o help
expect_stdout '^  size=SIZE$'
! grep -q cluster_size stdout || fail 'an option of qcow2 is shown for raw'

# Of a pipe nothing is read twice, not even behind a table that is smaller than a slice of the cache.
{
	head -c 512 /dev/zero | tr '\0' A
	head -c 205824 /dev/urandom
	head -c 512 /dev/zero | tr '\0' A
} >mixed.raw
for size in 512 1024 2048 4096; do
	q2s-stream -z -c $size mixed.raw packed.qcow2
	expect_exit 0 sh -c 'cat packed.qcow2 | q2s-stream -O raw - unpacked.raw'
	assert_same_bytes mixed.raw unpacked.raw
	qemu-img convert -c -O qcow2 -o cluster_size=$size mixed.raw packed.qcow2
	expect_exit 0 sh -c 'cat packed.qcow2 | q2s-stream -O raw - unpacked.raw'
	assert_same_bytes mixed.raw unpacked.raw
done
