#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `q2s-inspect map` prints what `qemu-img map` prints: for each L2 state, for chains, for raw files.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/inspect-lib.sh"
requires qemu-img qemu-io jq

create() {
	qemu-img create -q -f qcow2 "$@" || fail "qemu-img create $*"
}

# --- each state of a standard and of an extended entry, in each cluster size
for options in cluster_size=512 cluster_size=4k cluster_size=64k compat=0.10 cluster_size=2M \
	extended_l2=on,cluster_size=16k extended_l2=on extended_l2=on,cluster_size=2M \
	compression_type=zstd,extended_l2=on; do
	rm -f states.qcow2
	create -o "$options" states.qcow2 24M
	io states.qcow2 'write 0 1M' 'write 1536k 10k' 'write -c 4M 2M' 'write 7M 4k' \
		'write 10M 2M' 'discard 10M 2M' 'write 12M 2M'
	case $options in
	compat=0.10) ;;
	*) io states.qcow2 'write -z 12M 2M' 'write -z 14M 2M' 'write -z -u 17M 2k' \
		'write -z 12345k 5k' ;;
	esac
	same_map states.qcow2
	same_map states.qcow2 -s 100k -l 5M
	same_map states.qcow2 -s 511 -l 1
	same_map states.qcow2 -s 24M
	same_map states.qcow2 -s 30M
	same_map states.qcow2 -l 0
done

# --- runs that end where an L2 table ends, and tables that are not there
create -o cluster_size=512 tables.qcow2 1G
io tables.qcow2 'write 0 96k' 'write 200M 33k' 'write -z 500M 200k' 'write 1023M 1M'
same_map tables.qcow2

# --- preallocation: QEMU looks for holes in the file
for options in preallocation=metadata preallocation=metadata,extended_l2=on \
	preallocation=falloc preallocation=full; do
	rm -f full.qcow2
	create -o "$options" full.qcow2 8M
	same_map full.qcow2
	io full.qcow2 'write 1M 100k' 'write -z 3M 10k' 'write -z 4M 64k'
	same_map full.qcow2
done

# --- an external data file
create -o data_file=d.raw data.qcow2 4M
io data.qcow2 'write 1M 100k' 'write -z 2M 64k' 'write 0 64k' 'write 3M 4k'
same_map data.qcow2
create -o data_file=r.raw,data_file_raw=on dataraw.qcow2 4M
same_map dataraw.qcow2

# An image that takes less space than its clusters, as all of metadata that is zero is a hole: QEMU
# takes it for preallocated, and looks for holes in the data file, too.
cp --sparse=always data.qcow2 holes.qcow2
same_map holes.qcow2
q2s-inspect map --follow any --output=json holes.qcow2 | jq -e 'any(.[]; .zero and .data)' \
	>/dev/null || fail 'no hole of the data file in the map'
expect_exit 0 q2s-inspect map --output=json holes.qcow2
jq -e 'all(.[]; (.zero and .data) | not)' stdout >/dev/null || fail 'the data file was opened'
mkdir away
cp --sparse=always data.qcow2 away/holes.qcow2
expect_exit 1 q2s-inspect map --follow any away/holes.qcow2
expect_stderr 'external data file'

# --- snapshots do not change the map, but what they share is not private
cp states.qcow2 shared.qcow2
qemu-img snapshot -c one shared.qcow2
io shared.qcow2 'write 64k 64k'
same_map shared.qcow2

# --- chains: layers of different sizes, clusters and kinds
create layer0.qcow2 4M
io layer0.qcow2 'write 0 1M' 'write -c 1M 128k' 'write -z 2M 128k'
create -b layer0.qcow2 -F qcow2 layer1.qcow2 2100k
io layer1.qcow2 'write 512k 128k'
create -o extended_l2=on -b layer1.qcow2 -F qcow2 layer2.qcow2 6M
io layer2.qcow2 'write 700k 20k' 'write 2048k 4k' 'write -z 5M 10k' 'write -z 1M 4k'
create -o cluster_size=512 -b layer2.qcow2 -F qcow2 layer3.qcow2 7M
io layer3.qcow2 'write 700k 512' 'write -z 2049k 1k' 'write 6M 512'
for layer in 0 1 2 3; do
	same_map layer$layer.qcow2
	same_map layer$layer.qcow2 -s 650k -l 1500k
done

truncate -s 1M base.raw
qemu-io -f raw -c 'write 100k 10k' base.raw >io.log
printf hello >>base.raw # QEMU rounds the size up to whole sectors
create -b base.raw -F raw over.qcow2 2M
io over.qcow2 'write 300k 10k' 'write -z 1500k 64k'
same_map over.qcow2
create -b layer2.qcow2 -F raw asraw.qcow2 2M # by its format, an image is just bytes
same_map asraw.qcow2

# --- raw files by themselves
same_map base.raw -f raw
same_map base.raw
: >empty.raw
same_map empty.raw
same_map layer0.qcow2 -f raw

# --- one file alone: what it does not hold is absent, and unknown rather than zero
q2s-inspect map --output=json layer1.qcow2 >alone
jq -e 'all(.[]; .depth == 0)' alone >/dev/null
jq -e 'map(select(.present | not)) | length > 0 and all(.zero == false and .data == false)' \
	alone >/dev/null || fail 'absent ranges of an overlay are not known to be zero'
expect_exit 0 q2s-inspect map layer1.qcow2
expect_stdout 'backing file "layer0.qcow2", which was not opened'

# --- unmerged entries: together they are the disk, and they agree with the merged map
for image in states tables data layer2; do
	q2s-inspect map --raw-entries --output=json $image.qcow2 >raw
	size=$(q2s-inspect info --output=json $image.qcow2 | jq '."virtual-size"')
	jq -e --argjson size "$size" \
		'reduce .[] as $e (0; if . == $e.start then . + $e.length else error("gap") end) == $size' \
		raw >/dev/null || fail "raw entries of $image do not cover the disk"
	sum='map(select(f) | .length) | add // 0'
	assert_equal "$(q2s-inspect map --output=json $image.qcow2 | jq "def f: .data; $sum")" \
		"$(jq "def f: .state == \"normal\" or .state == \"compressed\"; $sum" raw)" \
		"data of $image"
	assert_equal "$(q2s-inspect map --output=json $image.qcow2 | jq "def f: .present and .zero; $sum")" \
		"$(jq "def f: .state | startswith(\"zero\"); $sum" raw)" "zeros of $image"
done
assert_equal 32 "$(q2s-inspect map --raw-entries --output=json -l 64k layer2.qcow2 | jq length)" \
	'subclusters of one cluster'
