#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-edit rebase, beside qemu-img rebase on copies of the same images: the disk stays what it was, the
# header says what qemu-img's does, and no more is copied than must be.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/edit-lib.sh"
requires qemu-img qemu-io

# new_base NAME SIZE OPTIONS: mostly what base has, other data and zeros in places.
new_base() {
	shown made/base "$base_format" other
	truncate -s "$2" other
	qemu-io -f raw -c 'write -q -P 7 4k 8k' -c 'write -q -P 0 300k 30k' -c 'write -q -P 8 1000k 100k' \
		-c 'write -q -P 9 1700k 3k' other
	qemu-img convert -f raw -O qcow2 -o "$3" other "made/$1"
}

# rebased NEW [OPTION...]: over shows what it showed, in both copies.
rebased() {
	local new=$1 name format=()

	shift
	[ -z "$new" ] || format=(-F qcow2)
	copy_made
	shown made/over qcow2 before.raw
	(cd theirs && qemu-img rebase -b "$new" "${format[@]}" "$@" over)
	(cd ours && q2s-edit rebase -q --follow=beside -b "$new" "${format[@]}" "$@" over)
	for name in made/*; do
		[ "$name" = made/over ] || assert_same_bytes "$name" "ours/${name#made/}"
	done
	same_info over
	q2s-inspect check -q ours/over || fail "q2s-inspect check"
}

shows_the_same() {
	qemu_check_clean ours/over
	shown ours/over qcow2 after.raw
	assert_same_bytes before.raw after.raw
	# By subcluster: never more than QEMU, which copies whole clusters. In version 2 images without a
	# backing file QEMU 7.2 leaves zeros to the new one, which may show data there.
	shown theirs/over qcow2 after.raw
	cmp -s before.raw after.raw || return 0
	[ "$(allocated_bytes ours/over)" -le "$(allocated_bytes theirs/over)" ] ||
		fail "$(allocated_bytes ours/over) bytes allocated, $(allocated_bytes theirs/over) by QEMU"
}

for options in cluster_size=64k cluster_size=512 cluster_size=4k,refcount_bits=64 cluster_size=2M \
	cluster_size=4k,compat=0.10 cluster_size=16k,extended_l2=on; do
	for base_format in qcow2 raw; do
		make_images "$options" $base_format 3000320 3000320
		new_base new 3000320 cluster_size=8k
		rebased new
		shows_the_same
		# And to nothing at all, which gives an image of its own.
		(cd ours && q2s-edit rebase -q --follow=beside -b '' over)
		same_disks over base $base_format
		rebased ''
		shows_the_same
	done
	base_format=qcow2
	# A new one that is larger, and one that is smaller.
	make_images "$options" qcow2 1500160 3000320
	new_base new 3000320 cluster_size=64k
	rebased new
	shows_the_same
	make_images "$options" qcow2 3000320 3000320
	new_base new 1800192 cluster_size=64k
	rebased new
	shows_the_same
	# An image without a backing file gets one.
	qemu-img convert -O qcow2 -o "$options" made/over made/alone
	mv made/alone made/over
	rebased new
	shows_the_same
done

# The name alone; then the other file shows.
base_format=qcow2
make_images cluster_size=64k qcow2 3000320 3000320
new_base new 3000320 cluster_size=64k
rebased new -u
same_disks over new qcow2
rebased nothing -u
rebased "$(printf 'n%.0s' {1..500})" -u
rebased '' -u
same_disks over new qcow2

# Zeros stay zero entries, and what both show the same is not written.
make_images cluster_size=64k,extended_l2=on qcow2 3000320 3000320
cp made/base made/new
qemu-io -c 'write -q -P 1 2500k 100k' made/new
copy_made
allocated_bytes ours/over >before
(cd ours && q2s-edit rebase -q --follow=beside -b new -F qcow2 over)
shown ours/over qcow2 got
shown made/over qcow2 want
assert_same_bytes want got
qemu-img map --output=json ours/over >map
assert_equal 0 "$(jq '[.[] | select(.depth == 0 and .data and .start < 2662400 and .start + .length > 2631680)] | length' map)" \
	"data where zeros are enough"

# --dry-run does nothing.
copy_made
cd ours
sha256sum base new over >before
expect_exit 0 q2s-edit rebase --follow=beside --dry-run -b new -F qcow2 over
expect_stdout '^over: write [0-9]+ at 0x'
expect_stdout '^over: [1-9][0-9]* bytes to write, '
expect_exit 0 q2s-edit rebase -u --dry-run -b new -F qcow2 over
expect_stdout '^over: write 512 at 0x0$'
sha256sum --status -c before || fail "--dry-run changed something"

refused() {
	local what=$1

	shift
	expect_exit 1 q2s-edit rebase "$@"
	expect_stderr "^q2s-edit: .*$what"
	sha256sum --status -c before || fail "a refused rebase changed something"
}
refused 'FILE is missing' -b new -F qcow2
refused '-b is missing' over
refused '-F is missing' -b new over
refused 'only raw and qcow2' -b new -F vmdk over
refused "it is one of.*did you mean 'qcow2'" -u -b new -F qcow3 over
refused '--follow' -b new -F qcow2 over
refused 'nothing' --follow=beside -b nothing -F qcow2 over
refused 'no plain file name' --follow=beside -b nbd:there -F raw over
refused 'longer than 1023' -u -b "$(printf 'n%.0s' {1..1024})" -F raw over
# Never on top of itself.
qemu-img create -q -f qcow2 -b over -F qcow2 above
refused 'same file' --follow=beside -b over -F qcow2 over
refused 'same file' --follow=beside -b above -F qcow2 over
hold -f qcow2 over
refused 'another program' --follow=beside -b new -F qcow2 over
refused 'another program' -u -b new -F qcow2 over
let_go
hold -f qcow2 new
refused 'another program' --follow=beside -b new -F qcow2 over
let_go
