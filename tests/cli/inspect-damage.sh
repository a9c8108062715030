#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A damaged image is shown as far as possible, and each fault is named where it lies.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/cli/bytes.sh"
requires jq

# header_fault OFFSET HEX REGEX [OPTION...]: with these bytes in its header, each verb refuses the
# image and says why; dump shows the field all the same, and its JSON stays JSON.
header_fault() {
	local at=$1 hex=$2 regex=$3

	shift 3
	q2s-create -q --force "$@" header.qcow2 1G
	poke header.qcow2 "$at" "$hex"
	for verb in info map dump; do
		expect_exit 1 q2s-inspect $verb header.qcow2
		expect_stderr "^q2s-inspect: header.qcow2: $regex"
	done
	expect_stdout "wrong: $regex"
	expect_exit 1 q2s-inspect dump --output=json header.qcow2
	jq -e '.faults >= 1 and .header.magic == 1363560955 and (.header.error.text | length > 0)' \
		stdout >/dev/null || fail "JSON of a dump with $hex at $at"
}

header_fault 4 00000004 'version .*found 0x4'
header_fault 20 00000008 'cluster_bits .*found 0x8'
header_fault 20 000000ff 'cluster_bits .*found 0xff'
header_fault 24 8000000000000000 'size .*found 0x8000000000000000'
header_fault 32 00000003 'crypt_method .*found 0x3'
header_fault 36 00000001 'l1_size .*found 0x1'
header_fault 36 ffffffff 'l1_size .*found 0xffffffff'
header_fault 40 0000000000000200 'l1_table_offset .*found 0x200'
header_fault 72 8000000000000020 'incompatible_features .*bit 5.*bit 63'
header_fault 96 00000007 'refcount_order .*found 0x7'
header_fault 100 00000008 'header_length .*found 0x8'
header_fault 100 00010001 'header_length .*found 0x10001'
header_fault 104 01 'compression_type'
header_fault 116 00ffffff 'header extension' # the feature name table gets a huge length
header_fault 8 0000000000020000 'backing_file_offset .*found 0x20000'

# --- what hurts only refcounts and snapshots: the mapping is shown, the fault is named
q2s-create -q tables.qcow2 1G
poke tables.qcow2 56 00000000
expect_exit 0 q2s-inspect map tables.qcow2
expect_exit 1 q2s-inspect info tables.qcow2
expect_stderr 'refcount_table_clusters'
expect_stdout 'virtual size'
expect_exit 1 q2s-inspect dump tables.qcow2
expect_stdout 'wrong: refcount_table_clusters'

# --- an L1 table past the end: the header is legal, the mapping is not there
q2s-create -q l1.qcow2 1G
poke l1.qcow2 40 7fffffffffff0000
expect_exit 0 q2s-inspect info l1.qcow2
expect_exit 1 q2s-inspect map l1.qcow2
expect_stderr 'L1'
expect_exit 1 q2s-inspect dump l1.qcow2
expect_stdout 'wrong: L1 table at host offset 0x7fffffffffff0000: lies past the end of the file'

# --- entries. Made by hand: an L2 table behind what q2s-create wrote, and one data cluster.
q2s-create -q entries.qcow2 1G
l1=$(q2s-inspect info --output=json entries.qcow2 | jq .q2s.header.l1_table_offset)
l2=$((0x40000))
truncate -s $((0x60000)) entries.qcow2
poke entries.qcow2 "$l1" 8000000000040000
poke entries.qcow2 $((l1 + 8)) 8000000000070000 # past the end of the file
entries=(
	8000000000050000 # 0 data
	0000000000000001 # 1 zero
	00000000000501fe # 2 reserved bits
	8000000000050200 # 3 not aligned
	c000000000050000 # 4 compressed and COPIED
	8000000000060000 # 5 past the end
	4040000000050123 # 6 compressed, 733 bytes
	8000000000000000 # 7 COPIED without a cluster: tolerated
)
for i in "${!entries[@]}"; do
	poke entries.qcow2 $((l2 + 8 * i)) "${entries[i]}"
done
expect_exit 1 q2s-inspect dump --output=json entries.qcow2
expect_stderr '^q2s-inspect: entries.qcow2: 6 faults, marked in the output'
cp stdout entries.json
assert_equal \
	'[[0,"data",327680,null],[1,"zero",null,null],[2,"data",327680,"reserved"],[3,"invalid",null,"offset"],[4,"compressed",327680,"copied"],[5,"data",393216,"truncated"],[6,"compressed",327971,null],[7,"unallocated",null,null]]' \
	"$(jq -c '.l2[0].entries | map([.index, .kind, .offset, .error.id])' entries.json)" 'L2 entries'
assert_equal 733 "$(jq '.l2[0].entries[6]."compressed-bytes"' entries.json)" 'compressed bytes'
assert_equal '0x00000000000501fe' "$(jq -r '.l2[0].entries[2].raw' entries.json)" 'the raw entry'
assert_equal truncated "$(jq -r '.l1[0].entries[1].error.id' entries.json)" 'the L1 entry past the end'
assert_equal truncated "$(jq -r '.l2[1].error.id' entries.json)" 'its L2 table'
assert_equal "$((l2 + 24))" "$(jq '.l2[0].entries[3].at' entries.json)" 'where an entry lies'
expect_exit 1 q2s-inspect dump entries.qcow2
expect_stdout "wrong: L2 entry at host offset 0x40018: host offset not cluster-aligned .found 0x8000000000050200."

# Only what was asked for, only these guest bytes.
expect_exit 0 q2s-inspect dump --output=json --only l2 --guest 64k+64k entries.qcow2
assert_equal '[[1]]' "$(jq -c '[.l2[].entries | map(.index)]' stdout)" 'narrowed'
assert_equal '["file-size","filename","faults","l2"]' "$(jq -c 'keys | sort_by(. != "file-size", . != "filename")' stdout)" 'sections'

# map stops at the first entry that cannot be read; --raw-entries shows it and goes on.
expect_exit 1 q2s-inspect map entries.qcow2
expect_stderr 'L2 entry at host offset 0x40018.*found 0x8000000000050200'
expect_exit 0 q2s-inspect map --raw-entries --output=json -l 512k entries.qcow2
assert_equal \
	'["normal","zero-plain","normal","invalid","compressed","normal","compressed","unallocated"]' \
	"$(jq -c 'map(.state)' stdout)" 'raw states'

# --- the zero flag does not exist in version 2
q2s-create -q -o compat=v2 v2.qcow2 1M
truncate -s $((0x60000)) v2.qcow2
poke v2.qcow2 "$(q2s-inspect info --output=json v2.qcow2 | jq .q2s.header.l1_table_offset)" 8000000000040000
poke v2.qcow2 $((0x40000)) 0000000000000001
expect_exit 1 q2s-inspect map v2.qcow2
expect_exit 1 q2s-inspect dump --output=json v2.qcow2
assert_equal '["zero-flag"]' "$(jq -c '.l2[0].entries | map(.error.id)' stdout)" 'version 2'

# --- extended entries: both bits, allocated without a cluster, bit 0, a bitmap on compressed data
q2s-create -q -o extended_l2=on ext.qcow2 1M
truncate -s $((0x60000)) ext.qcow2
poke ext.qcow2 "$(q2s-inspect info --output=json ext.qcow2 | jq .q2s.header.l1_table_offset)" 8000000000040000
entries=(
	80000000000500000000000f0000000f
	0000000000000000000000000000000f
	8000000000050001ffffff00000000ff
	40000000000500000000000000000001
	8000000000050000ffffff00000000ff
)
for i in "${!entries[@]}"; do
	poke ext.qcow2 $((0x40000 + 16 * i)) "${entries[i]}"
done
expect_exit 1 q2s-inspect dump --output=json --only l2 ext.qcow2
assert_equal '["subcluster","subcluster","reserved","compressed",null]' \
	"$(jq -c '.l2[0].entries | map(.error.id)' stdout)" 'extended entries'
assert_equal 'DDDDDDDD000000000000000000000000' \
	"$(jq -r '.l2[0].entries[4].subclusters' stdout)" 'subclusters'

# --- a file that is cut short: its tables are not there, also where its header still is
for size in 4 71 103 104 111 500 65536 65537; do
	cp ext.qcow2 short.qcow2
	truncate -s $size short.qcow2
	for verb in map dump 'map --raw-entries'; do
		# shellcheck disable=SC2086  # words of the verb
		expect_exit 1 q2s-inspect $verb short.qcow2
		expect_stderr '^q2s-inspect: short.qcow2: '
	done
	q2s-inspect info short.qcow2 >out 2>err || grep -q '^q2s-inspect: short.qcow2: ' err ||
		fail "info of an image cut to $size bytes fails without a reason"
done
