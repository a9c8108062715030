#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The command lines with which Incus and KubeVirt's importer call qemu-img, with the name of the program
# replaced. (Those of Proxmox VE are in create-qemu-words.sh, those of xapi in xapi.sh.)

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img jq

seq 1 500000 >disk.raw
truncate -s 20M disk.raw

# --- Incus: an instance becomes an image, compressed, past the page cache
expect_exit 0 q2s-stream -p -f raw -O qcow2 -c -T none -t none disk.raw image.qcow2
qemu_same_content disk.raw image.qcow2
[ "$(stat -c %s image.qcow2)" -lt 1500000 ] || fail 'it is not compressed'
expect_exit 0 q2s-stream -p -f raw -O qcow2 disk.raw plain.qcow2
qemu_same_content disk.raw plain.qcow2
# -c behind the operands, and the cluster size all the same
expect_exit 0 q2s-stream -o cluster_size=128k disk.raw last.qcow2 -c
qemu_same_content disk.raw last.qcow2
[ "$(stat -c %s last.qcow2)" -lt 2000000 ] || fail '-c at the end does not compress'
expect_exit 0 q2s-stream -c 4k disk.raw small.qcow2
assert_equal 4096 "$(qemu-img info --output=json small.qcow2 | jq '."cluster-size"')" 'cluster size'

# --- Incus: an image that a tenant brings, looked at with 1 GiB of memory and two seconds
expect_exit 0 prlimit --cpu=2 --as=1073741824 q2s-inspect info -f qcow2 --output=json image.qcow2
assert_equal 20971520 "$(jq '."virtual-size"' stdout)" 'virtual size'
# ... and written to a file, and in place, as to a clean volume
expect_exit 0 q2s-stream -p -f qcow2 -O raw -t writeback -T none -t none image.qcow2 out.raw
assert_same_bytes disk.raw out.raw
truncate -s 20M volume
expect_exit 0 q2s-stream -p -f qcow2 -O raw -t writeback -T none -t none -W -n --target-is-zero \
	image.qcow2 volume
assert_same_bytes disk.raw volume

# -n keeps what is there: no new file, no shorter one, no image in the place of another
expect_exit 1 q2s-stream -n -O raw image.qcow2 nothing
expect_stderr 'nothing: -n: it is written to, not made'
truncate -s 30M volume
expect_exit 1 q2s-stream -n -O raw image.qcow2 volume
expect_stderr 'longer than the disk'
cp plain.qcow2 kept.qcow2
expect_exit 1 q2s-stream -n disk.raw kept.qcow2
expect_stderr -- '-O raw alone'
assert_same_bytes plain.qcow2 kept.qcow2

# --- Incus: how large may it become, chains, metadata beside a raw disk
expect_exit 0 q2s-stream --measure --output=json -O qcow2 --size 1000000000
cp stdout ours
qemu-img measure --output=json -O qcow2 --size 1000000000 >theirs
assert_equal "$(jq '."fully-allocated"' theirs)" "$(jq '."fully-allocated"' ours)" 'fully allocated'
expect_exit 0 q2s-create -f qcow2 -b image.qcow2 -F qcow2 over.qcow2 1000000000b
assert_equal 1000000000 "$(qemu_virtual_size over.qcow2 qcow2 | sed s/1000000512/1000000000/)"
expect_exit 0 q2s-inspect info -U --backing-chain --output=json over.qcow2
assert_equal '["image.qcow2"]' "$(jq -c '[.[]."backing-filename"]' stdout)" 'this file alone'
expect_stderr 'layers below are not shown: --follow any'
# ... which is the one word that has to be added, as no image makes us open a file unasked
expect_exit 0 q2s-inspect info --follow any -U --backing-chain --output=json over.qcow2
assert_equal '["image.qcow2",null]' "$(jq -c '[.[]."backing-filename"]' stdout)" 'chain'
expect_silence
expect_exit 0 q2s-create -f qcow2 -o data_file=tmp.raw,data_file_raw=on,preallocation=metadata \
	meta.qcow2 20971520
qemu_check_clean meta.qcow2

# --- KubeVirt's importer: to raw, with each way to allocate that it tries
for how in '' '-o preallocation=falloc' '-o preallocation=full' '-S 0'; do
	rm -f out.raw
	# shellcheck disable=SC2086 # words of a command line
	expect_exit 0 q2s-stream $how -t writeback -p -O raw image.qcow2 out.raw
	assert_same_bytes disk.raw out.raw
	[ -z "$how" ] || [ "$(stat -c %b out.raw)" -ge 40960 ] || fail "$how: there are holes"
done
