#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-edit commit and rebase, beside qemu-img, on all combinations of what a cluster can be in each of three
# layers: unallocated, data, zero, preallocated zero, discarded. As QEMU's own tests of both verbs do it.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/edit-lib.sh"
requires qemu-img qemu-io

# fill IMAGE PERIOD SEED: cluster N of 64 KiB is what N / PERIOD % 5 says.
fill() {
	local n commands=()

	for ((n = 0; n < 125; n++)); do
		case $((n / $2 % 5)) in
		1) commands+=(-c "write -q -P $(($3 + n % 50)) $((n * 64))k 64k") ;;
		2) commands+=(-c "write -q -z -u $((n * 64))k 64k") ;;
		3) commands+=(-c "write -q -z $((n * 64))k 64k") ;;
		4) commands+=(-c "write -q -P $(($3 + n % 50)) $((n * 64 + 20))k 3k") ;;
		esac
	done
	qemu-io -f qcow2 "${commands[@]}" "$1"
}

for options in cluster_size=64k cluster_size=4k cluster_size=64k,extended_l2=on; do
	# Over a base, commit: what lies below the base shows through, or not.
	rm -rf made
	mkdir made
	(
		cd made
		qemu-img create -q -f qcow2 bottom 8M
		qemu-img create -q -f qcow2 -o "$options" -b bottom -F qcow2 base 8M
		qemu-img create -q -f qcow2 -o "$options" -b base -F qcow2 over 8M
		qemu-img create -q -f qcow2 -o "$options" new 7M
		fill bottom 25 1
		fill base 5 60
		fill over 1 120
		# In the new base the same data as in the old one, in places.
		qemu-io -f qcow2 -c 'write -q -P 60 320k 64k' -c 'write -q -P 33 1M 3M' -c 'write -q -z 5M 1M' new
	)
	copy_made
	(cd theirs && qemu-img commit -q over)
	(cd ours && q2s-edit commit -q --follow=beside over)
	same_disks over base qcow2
	assert_same_bytes made/bottom ours/bottom
	[ "$(allocated_bytes ours/base)" -le "$(allocated_bytes theirs/base)" ] ||
		fail "$options: after commit the base has more data than QEMU's"

	# Rebase: to a shorter one, to the one below, to none.
	for new in new bottom ''; do
		copy_made
		shown made/over qcow2 want
		format=(-F qcow2)
		[ -n "$new" ] || format=()
		(cd ours && q2s-edit rebase -q --follow=beside -b "$new" "${format[@]}" over)
		(cd theirs && qemu-img rebase -b "$new" "${format[@]}" over)
		qemu_check_clean ours/over
		q2s-inspect check -q ours/over || fail "$options: check after rebase to '$new'"
		shown ours/over qcow2 got
		assert_same_bytes want got
		[ "$(allocated_bytes ours/over)" -le "$(allocated_bytes theirs/over)" ] ||
			fail "$options: rebase to '$new' wrote more data than QEMU"
	done
done

# Growing with each preallocation, from an odd size to an odd size, over a base that is longer than the disk.
for mode in off metadata falloc full; do
	for options in cluster_size=64k cluster_size=4k cluster_size=16k,extended_l2=on; do
		rm -rf made
		mkdir made
		(cd made && qemu-img create -q -f qcow2 -o "$options" over 1000448 &&
			qemu-io -f qcow2 -c 'write -q -P 5 900k 70k' over)
		copy_made
		(cd theirs && qemu-img resize -q --preallocation=$mode over 3000832)
		(cd ours && q2s-edit resize -q --preallocation=$mode over 3000832)
		qemu_check_clean ours/over
		shown theirs/over qcow2 want
		shown ours/over qcow2 got
		assert_same_bytes want got
		[ "$mode" = off ] || [ "$mode" = metadata ] ||
			[ $(($(stat -c %b ours/over) * 512)) -ge 2000000 ] || fail "$mode takes no space"
	done
done

# Bitmaps of two images, of all pairs of granularities, merged as qemu-img does it.
for ours in 4k 64k 1M; do
	for other in 512 64k 2M; do
		rm -rf made
		mkdir made
		(
			cd made
			for name in over other; do
				qemu-img create -q -f qcow2 $name 8M
			done
			qemu-img bitmap --add -g $ours over b
			qemu-img bitmap --add -g $other other s
			qemu-io -f qcow2 -c 'write -q 100k 5k' over
			qemu-io -f qcow2 -c 'write -q 3M 70k' -c 'write -q 8191k 1k' other
		)
		copy_made
		(cd theirs && qemu-img bitmap --merge s -b other -F qcow2 over b)
		(cd ours && q2s-edit bitmap merge -q -b other -F qcow2 over b s)
		qemu_check_clean ours/over
		q2s-inspect bitmap --output=json b theirs/over >want
		q2s-inspect bitmap --output=json b ours/over >got
		assert_same_bytes want got
	done
done
