#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Images with a history, by QEMU's hand: sound for us as for qemu-img, with the same counts; and the
# same leaks and errors when counts are damaged.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/cli/bytes.sh"
requires qemu-img qemu-io jq

keys='["check-errors", "corruptions", "leaks", "image-end-offset", "total-clusters",
	"allocated-clusters", "fragmented-clusters", "compressed-clusters"]'

# counts JSON: what both print, in one line; what is left out is 0.
counts() {
	jq -c --argjson keys "$keys" '[$keys[] as $key | .[$key] // 0]' "$1"
}

# both IMAGE WHAT: the exit codes and all counts are the same.
both() {
	local ours=0 theirs=0

	q2s-inspect check --output=json "$1" >ours.json 2>ours.err || ours=$?
	qemu-img check -f qcow2 --output=json "$1" >theirs.json 2>theirs.err || theirs=$?
	assert_equal "$theirs" "$ours" "exit code for $2"
	assert_equal "$(counts theirs.json)" "$(counts ours.json)" "counts ($keys) for $2"
}

io() {
	qemu-io -f qcow2 "$@" >qemu-io.log
	! grep -iE 'error|failed' qemu-io.log || fail "qemu-io $*"
}

# snapshot ARG...: of image. With narrow refcounts QEMU fails half-way and leaves leaks behind, which
# are then judged like anything else.
snapshot() {
	qemu-img snapshot "$@" image 2>snapshot.err || true
}

# live IMAGE SEED: writes, zeros, discards and compressed writes where chance wants them.
live() {
	local i commands=() at len

	RANDOM=$2
	for i in 1 2 3 4 5 6 7 8; do
		at=$((RANDOM * 512 % 7000000 / 512 * 512))
		len=$((RANDOM % 400 * 512 + 512))
		case $((RANDOM % 5)) in
		0 | 1) commands+=(-c "write -P $i $at $len") ;;
		2) commands+=(-c "write -z $at $len") ;;
		3) commands+=(-c "discard $at $len") ;;
		4) commands+=(-c "write -z -u $at $len") ;;
		esac
	done
	io "${commands[@]}" "$1"
}

seed=1
for options in cluster_size=512 cluster_size=4k,refcount_bits=1 cluster_size=4k,refcount_bits=2 \
	cluster_size=4k,refcount_bits=8 cluster_size=1k,refcount_bits=32 \
	cluster_size=1k,refcount_bits=64 compat=0.10,cluster_size=4k lazy_refcounts=on \
	extended_l2=on,cluster_size=16k extended_l2=on,refcount_bits=4 cluster_size=2M; do
	qemu-img create -q -f qcow2 -o "$options" image 8M
	both image "$options, empty"
	live image $((seed++))
	both image "$options"
	case $options in
	*refcount_bits=1) continue ;;
	esac
	# Only where nothing is allocated yet, which depends on the cluster size.
	qemu-io -f qcow2 -c 'write -c -P 9 7424k 512k' image >qemu-io.log 2>&1 || true
	snapshot -c one
	both image "$options with a snapshot"
	live image $((seed++))
	snapshot -c two
	live image $((seed++))
	both image "$options with two snapshots"
	snapshot -d one
	both image "$options with a deleted snapshot"
	snapshot -a two
	both image "$options, gone back"
	qemu-img resize -q -f qcow2 image 12M 2>/dev/null || continue
	both image "$options, resized"
done

# Bitmaps, a data file, preallocation, compression of the whole, an overlay.
qemu-img create -q -f qcow2 image 64M
qemu-img bitmap --add image one
qemu-img bitmap --add --disable -g 4k image two
live image $((seed++))
both image 'bitmaps'
qemu-img create -q -f qcow2 -o data_file=guest.raw,data_file_raw=on data-file 8M
live data-file $((seed++))
both data-file 'a data file'
for kind in '' ,extended_l2=on; do
	qemu-img create -q -f qcow2 -o "preallocation=metadata$kind" prealloc 4G
	both prealloc "preallocation$kind"
	qemu-img convert -c -O qcow2 -o "compression_type=zstd$kind" image compressed
	both compressed "compressed$kind"
	qemu-img create -q -f qcow2 -b image -F qcow2 -o "cluster_size=16k$kind" overlay
	live overlay $((seed++))
	both overlay "an overlay$kind"
done

# Damaged refcounts: the table is in cluster 1, its first block in cluster 2.
qemu-img create -q -f qcow2 image 8M
live image $((seed++))
for count in 0000 0001 0002 0003 ffff; do
	for cluster in 0 1 2 3 4 5 9 200; do
		cp image damaged
		poke damaged $((131072 + 2 * cluster)) $count
		theirs=0
		qemu-img check -f qcow2 damaged >theirs.out 2>&1 || theirs=$?
		ours=0
		q2s-inspect check -q damaged || ours=$?
		# COPIED on a cluster that is no longer counted once is an error to both.
		assert_equal "$theirs" "$ours" "exit code with count $count of cluster $cluster"
	done
done
