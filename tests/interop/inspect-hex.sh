#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `q2s-inspect hex` names every byte of the metadata: its ranges leave nothing out, overlap nowhere,
# and say what lies in the file.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/inspect-lib.sh"
requires qemu-img qemu-io jq

create() {
	qemu-img create -q -f qcow2 "$@" || fail "qemu-img create $*"
}

# partition IMAGE: the ranges are one of the file, and nothing is unknown. Leaves hex.json and text.
partition() {
	local problem

	expect_exit 0 q2s-inspect hex --output=json "$1"
	cp stdout hex.json
	problem=$(jq -r --argjson size "$(stat -c %s "$1")" '
		(reduce .ranges[] as $r (0; if . == $r.offset and $r.length > 0 then . + $r.length
			else error("not a partition at \(.)") end)) as $stop |
		(if $stop != $size then "the ranges end at \($stop) of \($size)" else empty end),
		(if .conflicts != [] then "conflicts" else empty end),
		(if ."metadata-bytes" + ."data-bytes" + ."nothing-bytes" != $size then "sums" else empty end),
		(if ([.ranges[] | select(.bytes) | .length] | add) != ."metadata-bytes"
			then "metadata bytes without a name" else empty end),
		(.ranges[] | select(.name == "not understood" or .text == "malformed" or
			(.name | startswith("malformed"))) | "unknown bytes at \(.offset)")' hex.json)
	assert_equal '' "$problem" "ranges of $1"
	q2s-inspect hex "$1" >text || fail "text of $1"
}

# named IMAGE: a partition, with the bytes that lie in the file.
named() {
	local problem

	partition "$1"
	od -An -v -tx1 "$1" | tr -d ' \n' >bytes
	problem=$(jq -r --rawfile hex bytes '.ranges[] | select(.bytes and .length < 4096) |
		select($hex[2 * .offset:2 * .offset + (.bytes | length)] != .bytes) | .offset' hex.json)
	assert_equal '' "$problem" "wrong bytes of $1 at"
}

# in_use IMAGE: what QEMU calls clean has data and metadata where a refcount is not 0, and nothing
# elsewhere.
in_use() {
	qemu_check_clean "$1"
	assert_equal "$(q2s-inspect dump --output=json --only header,refcounts "$1" | jq '
		."file-size" as $size | pow(2; .header.cluster_bits) as $cs |
		[.refcounts[].counts[] | select(.count == 0) |
		([.offset + .clusters * $cs, $size] | min) - .offset | select(. > 0)] | add // 0')" \
		"$(jq '."nothing-bytes"' hex.json)" "bytes of $1 that belong to nothing"
}

for options in cluster_size=4k compat=0.10,cluster_size=4k cluster_size=4k,refcount_bits=1 \
	cluster_size=4k,refcount_bits=2 cluster_size=4k,refcount_bits=64 \
	extended_l2=on,cluster_size=16k compression_type=zstd,cluster_size=4k cluster_size=512; do
	rm -f image.qcow2
	create -o "$options" image.qcow2 16M
	io image.qcow2 'write 0 100k' 'write 3M 70k' 'write -c 5M 16k' 'write 15M 4k'
	case $options in
	compat=0.10*) ;;
	*) io image.qcow2 'write -z 3M 8k' ;;
	esac
	case $options in
	*refcount_bits=[12]) ;; # not enough for snapshots
	*)
		qemu-img snapshot -c first image.qcow2
		io image.qcow2 'write 3M 4k'
		qemu-img snapshot -c "$(printf 'n%.0s' {1..300})" image.qcow2
		;;
	esac
	named image.qcow2
	in_use image.qcow2
done

# --- extensions, names, bitmaps, encryption, data file
create -u -b 'base "quoted"' -F raw -o cluster_size=4k,extended_l2=off over.qcow2 4M
named over.qcow2
grep -q 'backing file name *"base "quoted""' text
create -o cluster_size=4k bitmaps.qcow2 16M
for name in one two $'three\xff'; do
	qemu-img bitmap --add -g 512 bitmaps.qcow2 "$name"
done
io bitmaps.qcow2 'write 1M 300k'
named bitmaps.qcow2
in_use bitmaps.qcow2
grep -q 'bitmap bits' text
create -o data_file=data.raw,cluster_size=4k data.qcow2 4M
io data.qcow2 'write 1M 300k'
named data.qcow2
in_use data.qcow2
qemu_create_luks luks.qcow2 1M
named luks.qcow2
assert_equal 0 "$(jq '."nothing-bytes"' hex.json)" 'bytes of a LUKS image that belong to nothing'
grep -q 'LUKS cipher-name' text
grep -q 'key material of slot 0 *active' text

# --- runs are folded: a preallocated table is a handful of lines
create -o preallocation=metadata full.qcow2 1G
partition full.qcow2
[ "$(wc -l <text)" -lt 150 ] || fail "$(wc -l <text) lines for 1 GiB of consecutive clusters"
grep -q 'L2 entries 0\.\.[0-9]* .*; each one cluster after the last' text

# --- a leaked cluster belongs to nothing
create leak.qcow2 16M
io leak.qcow2 'write 0 64k' 'write 64k 64k'
l2=$(q2s-inspect dump --output=json --only l2 leak.qcow2 | jq '.l2[0].offset')
poke leak.qcow2 "$l2" 0000000000000000
named leak.qcow2
assert_equal 65536 "$(jq '."nothing-bytes"' hex.json)" 'bytes of the leaked cluster'
grep -q '^nothing$' text
assert_equal 65536 "$(jq '[.ranges[] | select(.structure == "guest data").length] | add' hex.json)" \
	'guest data'

# --- structures that lie over each other are told, and no byte twice
cp leak.qcow2 clash.qcow2
poke clash.qcow2 40 0000000000010000 # the L1 table over the refcount table
expect_exit 1 q2s-inspect hex --output=json clash.qcow2
jq -e '.conflicts | map(.structure) | index("L1 table")' stdout >found || fail 'no conflict told'
jq -e '(reduce .ranges[] as $r (0; if . == $r.offset then . + $r.length else error("gap") end)) ==
	."file-size"' stdout >found || fail 'the ranges of a damaged image are no partition'
expect_exit 1 q2s-inspect hex clash.qcow2
expect_stdout 'wrong: the L1 table at 0x10000 lies over the refcount table'
