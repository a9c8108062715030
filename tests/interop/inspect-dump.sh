#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `q2s-inspect dump` against what QEMU says, and against the bytes of the file.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/inspect-lib.sh"
requires qemu-img qemu-io jq

dump() {
	q2s-inspect dump --output=json "$@"
}

# same_clusters IMAGE: the data clusters of the dump are those of the map, one by one.
same_clusters() {
	local cluster

	cluster=$(qemu-img info --output=json "$1" | jq '."cluster-size"')
	qemu-img map --output=json "$1" | jq -c --argjson cs "$cluster" \
		'[.[] | select(.data and has("offset")) | . as $e |
		# a range may start within a cluster, where QEMU found a hole of the file
		range((-$e.start % $cs + $cs) % $cs; $e.length; $cs) |
		[$e.start + ., $e.offset + .]]' >want
	dump --only l2 "$1" |
		jq -c '[.l2[] | select(.table == 0).entries[] | select(.kind == "data") |
		[.guest, .offset]]' >got
	assert_same_bytes want got
	[ "$(jq length want)" -gt 3 ] || fail "nothing compared for $1"
}

for options in cluster_size=512 cluster_size=64k,refcount_bits=1 cluster_size=2M,refcount_bits=64 \
	compat=0.10 cluster_size=4k,refcount_bits=2; do
	rm -f image.qcow2
	qemu-img create -q -f qcow2 -o "$options" image.qcow2 64M
	io image.qcow2 'write 0 8M' 'write 20M 6M' 'write -c 40M 2M' 'write 63M 1M'
	same_clusters image.qcow2

	# Every field of the header is what lies in the file.
	dump --only header image.qcow2 >header.json
	while read -r name at size; do
		assert_equal "$(field image.qcow2 "$at" "$size")" \
			"$(jq ".header.$name" header.json)" "header field $name"
	done <<-'END'
		version 4 4
		cluster_bits 20 4
		size 24 8
		l1_size 36 4
		l1_table_offset 40 8
		refcount_table_offset 48 8
		refcount_table_clusters 56 4
		nb_snapshots 60 4
	END

	# What the refcounts count is what the checker of QEMU finds in use.
	qemu_check_clean image.qcow2
	dump --only refcounts,l2 image.qcow2 >refcounts.json
	assert_equal "$(qemu-img check --output=json image.qcow2 | jq '."image-end-offset"')" \
		"$(jq --argjson cs "$(qemu-img info --output=json image.qcow2 | jq '."cluster-size"')" \
			'[.refcounts[].counts[] | select(.count > 0) | .offset + .clusters * $cs] | max' \
			refcounts.json)" "end of the image, by refcounts ($options)"
done

# --- the raw entries are the bytes that lie there
dump image.qcow2 >whole.json
jq -r '[.l2[].entries[]][:50][] | "\(.at) \(.raw)"' whole.json >entries
jq -r '.l1[].entries[], .reftable.entries[] | "\(.at) \(.raw)"' whole.json >>entries
while read -r at raw; do
	assert_equal "${raw#0x}" "$(peek image.qcow2 "$at" 8)" "the entry at $at"
done <entries

# --- snapshots: their tables, and L2 tables that they alone still have
qemu-img create -q -f qcow2 -o extended_l2=on snap.qcow2 16M
io snap.qcow2 'write 0 1M'
qemu-img snapshot -c first snap.qcow2
io snap.qcow2 'write 64k 2k'
qemu-img snapshot -c $'second\n\xff' snap.qcow2
dump snap.qcow2 >snap.json
assert_equal '["1","2"]' "$(jq -c '[.snapshots.records[].id]' snap.json)" 'snapshot IDs'
assert_equal 'first' "$(jq -r '.snapshots.records[0].name' snap.json)" 'name of a snapshot'
assert_equal '[0,1,2]' "$(jq -c '[.l1[].table]' snap.json)" 'L1 tables'
assert_equal '[0,1]' "$(jq -c '[.l2[].table]' snap.json)" 'L2 tables, each once'
assert_equal '[[2,0,1,true]]' "$(jq -c '[.l2[].offset] as $shown | [."l2-repeated"[] |
	[.table, .index, .count, (.offset as $at | $shown | index($at) != null)]]' snap.json)" \
	'the L2 table that two snapshots share'
assert_equal 0 "$(jq .faults snap.json)" 'faults'
assert_equal '[1,2,3]' "$(jq -c '[.refcounts[].counts[].count | select(. > 0)] | unique' snap.json)" \
	'refcounts of shared clusters'

# --- bitmaps: a table entry for what was written
qemu-img create -q -f qcow2 bitmap.qcow2 1G
qemu-img bitmap --add -g 64k bitmap.qcow2 one
qemu-io -f qcow2 -c 'write 1M 192k' bitmap.qcow2 >qemu-io.log
dump --only bitmaps bitmap.qcow2 >bitmap.json
assert_equal one "$(jq -r '.bitmaps.records[0].name' bitmap.json)" 'bitmap name'
at=$(jq '.bitmaps.tables[0].entries[0].offset' bitmap.json)
assert_equal 000007 "$(peek bitmap.qcow2 "$at" 3)" 'the bits that the table points to'

# --- extensions
qemu-img create -q -f qcow2 -u -b base.raw -F raw -o data_file=data ext.qcow2 1M
assert_equal '[["backing format","raw"],["external data file name","data"],["feature name table",null]]' \
	"$(dump --only extensions ext.qcow2 | jq -c '[.extensions[] | [.name, .text]]')" 'extensions'
assert_equal base.raw "$(dump --only header ext.qcow2 | jq -r .header.backing_file_name)" 'backing name'

# --- LUKS
qemu_create_luks luks.qcow2 4M
assert_equal "$(qemu-img info --output=json luks.qcow2 | jq -c \
	'."format-specific".data.encrypt | [.uuid, (.slots | map(."key-offset"))]')" \
	"$(dump --only luks luks.qcow2 | jq -c '.luks | [.uuid, (.slots | map(."key-offset"))]')" 'LUKS'

# --- people get the same entries
q2s-inspect dump snap.qcow2 >text
assert_equal "$(jq '[.l2[].entries[]] | length' snap.json)" \
	"$(grep -c ' 0x[0-9a-f]\{16\}  \(data\|mixed\)' text)" 'rows of L2 tables'
! grep -q ' $' text || fail 'trailing spaces'
grep -q 'second\\x0a\\xff' text
