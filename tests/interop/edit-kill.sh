#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-edit commit, rebase and compact --shrink are killed at many moments: each time every image of the chain has no more than
# leaks, and shows what it has to show; the same command makes it complete.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/edit-lib.sh"
requires qemu-img qemu-io

# sound IMAGE: nothing but leaks.
sound() {
	local status=0

	qemu-img check -f qcow2 "$1" >check.out 2>&1 || status=$?
	[ $status = 0 ] || [ $status = 3 ] || fail "qemu-img check $1: $(cat check.out)"
}

# many_pieces NAME SIZE: a disk of data everywhere, so that the work takes its time.
many_pieces() {
	head -c "$2" /dev/urandom >"$1"
}

for options in cluster_size=4k cluster_size=16k,extended_l2=on; do
	rm -rf base over new want
	many_pieces first 48M
	many_pieces second 48M
	qemu-img convert -f raw -O qcow2 -o "$options" first base
	qemu-img create -q -f qcow2 -o "$options" -b base -F qcow2 over
	cmd=()
	for ((i = 0; i < 180; i++)); do
		cmd+=(-c "write -q -P $((i + 1)) $((i * 256))k 130k" -c "write -q -z $((i * 256 + 150))k 20k")
	done
	qemu-io "${cmd[@]}" over
	qemu-img convert -O raw over want

	after() {
		sound base
		sound over
		qemu_same_content want over
	}
	killed_often q2s-edit commit --follow=beside over
	qemu_same_content want base

	qemu-img convert -f raw -O qcow2 -o cluster_size=64k second new
	sha256sum base new >before
	after() {
		sound over
		qemu_same_content want over
		sha256sum --status -c before || fail "rebase changed a backing file"
	}
	killed_often q2s-edit rebase --follow=beside -b new -F qcow2 over
	qemu-img info --output=json over | grep -q '"backing-filename": "new"' || fail "not rebased"
done

# Data, tables and a snapshot's share of both move; compressed clusters too.
for options in cluster_size=4k cluster_size=16k,extended_l2=on; do
	head -c 6M /dev/urandom | base64 >text
	rm -f packed image
	qemu-img convert -c -f raw -O qcow2 -o "$options" text packed
	qemu-img create -q -f qcow2 -o "$options" image 48M
	head -c 20M /dev/urandom >first
	qemu-img convert -n -f raw -O qcow2 first image
	qemu-img snapshot -c one image
	qemu-io -c 'write -q -P 1 24M 10M' -c 'write -q -P 2 10M 2M' image
	qemu-img snapshot -c two image
	qemu-img snapshot -d one image
	qemu-io -c 'discard -q 0 9M' image
	qemu-img snapshot -d two image
	qemu-io -c 'write -q -P 3 40M 3M' image
	qemu-img snapshot -c three image
	qemu-io -c 'write -q -P 4 41M 1M' -c 'discard -q 24M 5M' image
	qemu-io -c 'discard -q 0 4M' packed
	for file in image packed; do
		qemu-img convert -O raw $file want
		[ $file = packed ] || qemu-img convert -l snapshot.name=three -O raw image kept
		after() {
			sound $file
			qemu_same_content want $file
			[ $file = packed ] || {
				qemu-img convert -l snapshot.name=three -O raw image now
				assert_same_bytes kept now
			}
		}
		killed_often q2s-edit compact --shrink $file
		# What a snapshot shares may have leaked a count that nobody can lower without more.
		[ $file = image ] || qemu_check_clean $file
		expect_exit 0 q2s-edit compact --shrink $file
		expect_stdout ': 0 bytes shorter$'
	done
done
