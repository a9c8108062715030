#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# With the same options, QEMU sees the same image whether qemu-img or q2s-create made it: each field
# of `info`, each extent of `map`, and a clean `check`.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img

# facts IMAGE: what `info` says, without what depends on the file's length, name and blocks.
facts() {
	qemu-img info -U --output=json "$1" |
		sed -e '/^    "children": \[/,/^    \]/d' -e '/"actual-size":/d' \
			-e '/^    "filename":/d'
}

# extents IMAGE [keep]: guest ranges that are mapped alike. Of allocated clusters we leave out whether
# the file has a hole there, and where they lie, unless guest data has a file of its own (keep).
extents() {
	qemu-img map -U --output=json "$1" | sed 's/[][{},"]//g' | awk -v keep="${2:-}" '
		function show() { if (len != "") print start, len, kind, place }
		{
			split("", f)
			for (i = 1; i < NF; i += 2) f[$i] = $(i + 1)
			k = f["depth:"] " " f["present:"] " " f["data:"] " " f["compressed:"] \
				(f["data:"] == "true" ? "" : " " f["zero:"])
			p = keep && "offset:" in f ? f["offset:"] - f["start:"] : ""
			if (len != "" && k == kind && p == place) { len += f["length:"]; next }
			show()
			start = f["start:"]; len = f["length:"]; kind = k; place = p
		}
		END { show() }'
}

# blocks FILE: 512-byte blocks that it takes.
blocks() {
	stat -c %b "$1"
}

# space OPTS SIZE: with this preallocation the files take as much space as QEMU's, give or take the
# clusters of metadata that QEMU leaves as holes; and at least as much as the disk is large.
space() {
	local theirs ours

	rm -f theirs ours data
	qemu-img create -q -f qcow2 -o "$1" theirs "$2"
	theirs=$(blocks theirs)
	same "$1" "$2"
	ours=$(blocks ours)
	[ $((ours * 512)) -ge "$2" ] || fail "$ours blocks for $2 bytes with -o $1"
	[ $((ours - theirs)) -le 1024 ] && [ $((theirs - ours)) -le 1024 ] ||
		fail "$ours blocks, QEMU has $theirs, with -o $1 $2"
}

count=0

# same OPTS SIZE [keep]: both make it, and QEMU cannot tell them apart.
same() {
	rm -f theirs ours data
	qemu-img create -q -f qcow2 -o "$1" theirs "$2"
	facts theirs >theirs.info
	extents theirs "${3:-}" >theirs.map
	rm -f data
	q2s-create -q -o "$1" ours "$2"
	facts ours >ours.info
	extents ours "${3:-}" >ours.map
	diff theirs.info ours.info || fail "info differs with -o $1 $2"
	diff theirs.map ours.map || fail "map differs with -o $1 $2"
	qemu_check_clean ours
	count=$((count + 1))
}

for cluster in 512 1k 4k 16k 64k 256k 2M; do
	for size in 0 1 1000 1M 100000001 3G; do
		same "cluster_size=$cluster" "$size"
	done
	for bits in 1 2 4 8 32 64; do
		same "cluster_size=$cluster,refcount_bits=$bits" 10M
	done
	same "cluster_size=$cluster,compat=0.10" 1G
	same "cluster_size=$cluster,preallocation=metadata" 5000001
	same "cluster_size=$cluster,preallocation=metadata,refcount_bits=1" 1M
	same "cluster_size=$cluster,data_file=data" 1M keep
	same "cluster_size=$cluster,data_file=data,data_file_raw=on" 5000001 keep
	same "cluster_size=$cluster,data_file=data,preallocation=metadata" 1M keep
done
for cluster in 16k 64k 2M; do
	for size in 0 1 1M 3G; do
		same "extended_l2=on,cluster_size=$cluster" "$size"
	done
	for bits in 1 64; do
		same "extended_l2=on,cluster_size=$cluster,refcount_bits=$bits" 1M
	done
	same "extended_l2=on,cluster_size=$cluster,preallocation=metadata" 5000001
	same "extended_l2=on,cluster_size=$cluster,data_file=data" 1M keep
done
for mode in falloc full; do
	for cluster in 512 4k 64k; do
		space "preallocation=$mode,cluster_size=$cluster" 5000000
	done
	space "preallocation=$mode,extended_l2=on" 5000000
	space "preallocation=$mode,compat=v2" 5000000
	same "preallocation=$mode" 0
	# We give the data file its space; QEMU gives it to the end of its last cluster alone.
	same "preallocation=$mode,data_file=data" 1M keep
	[ "$(blocks data)" -ge 2048 ] || fail "$(blocks data) blocks for a data file of 1M"
done
same nocow=on,extent_size_hint=64k 1M
same lazy_refcounts=on 1M
same compression_type=zstd 1M
same compat=v2,cluster_size=2M 1M
same compat=v3,lazy_refcounts=on,compression_type=zstd,extended_l2=on,refcount_bits=64 1T
# The largest disks: L1 tables of 32 MiB.
same cluster_size=512 128G
same cluster_size=4k 8T

echo "$count images, each like QEMU's"
