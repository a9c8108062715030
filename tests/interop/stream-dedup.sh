#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Clusters that are the same are stored once: QEMU finds no error, no leak and the same content, the
# bytes do not depend on threads or parts, and a write to one of them leaves the others alone.

. "$Q2S_SRC/tests/cli/lib.sh"

requires qemu-img qemu-io

MIB=1048576

# put PIECE MIB: a piece of 2 MiB at this place.
put() {
	dd if="$1" of=disk.raw bs=$MIB seek="$2" conv=notrunc status=none
}

# Text that shrinks, noise that does not, one byte all over, and a piece that is half a hole; each
# several times, once with a byte that differs, and a partial end.
disk() {
	local half=$((MIB + 3 * 4096)) i

	for ((i = 0; i < 120; i++)); do
		cat "$Q2S_SRC/COPYING"
	done >texts
	head -c $((2 * MIB)) texts >text
	head -c $((2 * MIB)) /dev/urandom >noise
	head -c $((2 * MIB)) /dev/zero | tr '\0' '\125' >fill
	head -c $half text >mixed
	truncate -s $((2 * MIB)) mixed
	rm -f disk.raw
	put text 0
	put noise 2
	put text 4
	put fill 6
	put fill 8
	put noise 12
	put mixed 14
	put mixed 18
	put text 20
	printf x | dd of=disk.raw bs=1 seek=$((21 * MIB + 12345)) conv=notrunc status=none
	head -c 100001 text | dd of=disk.raw bs=$MIB seek=22 conv=notrunc status=none
}

judge() { # IMAGE
	qemu_check_clean "$1"
	q2s-inspect check --quiet "$1" || fail "q2s-inspect check $1"
	qemu_same_content disk.raw "$1" raw qcow2
}

# parts OPTION...: out.qcow2 again, from ranges, from a kept plan, and with other numbers of threads.
parts() {
	local length at k

	length=$(stat -c %s out.qcow2)
	for ((at = 0; at < length; at += 3333333)); do
		q2s-stream "$@" --range "$at:$((length - at < 3333333 ? length - at : 3333333))" disk.raw
	done >parts.qcow2
	assert_same_bytes out.qcow2 parts.qcow2
	q2s-stream "$@" --save-plan plan --measure disk.raw >/dev/null
	for k in 1 2 3; do
		q2s-stream --plan plan --part $k/3 disk.raw
	done >parts.qcow2
	assert_same_bytes out.qcow2 parts.qcow2
	for k in 1 5; do
		q2s-stream "$@" -j $k --spool none disk.raw | cmp - out.qcow2 ||
			fail "$*: $k threads differ"
	done
}

# try OPTION...: and it must be shorter than without sharing; but streams with more references than
# fit into narrow refcounts do not pack well.
try() {
	local said narrow='refcount_bits=[24] -z'

	q2s-stream --dedup "$@" disk.raw out.qcow2
	said=$(q2s-stream --dedup "$@" --measure disk.raw | sed -n 's/^exact length: //p')
	assert_equal "$said" "$(stat -c %s out.qcow2)" "length of $*"
	judge out.qcow2
	said=$(q2s-stream "$@" --measure disk.raw | sed -n 's/^exact length: //p')
	[[ $* =~ $narrow ]] || [ "$(stat -c %s out.qcow2)" -lt "$said" ] || fail "$*: no shorter for all that sharing"
	q2s-stream -O raw out.qcow2 back.raw
	qemu_same_content disk.raw back.raw raw raw
}

disk
for size in 512 4k 16k 64k 2M; do
	for width in 2 4 8 16 32 64; do
		for how in '' -z; do
			# of small clusters and compressed ones, the widths where something changes
			[ "$size$how" = 64k ] || [[ $width =~ ^(2|16)$ ]] || continue
			try -o "cluster_size=$size,refcount_bits=$width" $how
		done
	done
done
for how in '' -z -zzstd; do
	for size in 16k 2M; do
		try -o "cluster_size=$size,extended_l2=on" $how
		try -o "cluster_size=$size,extended_l2=on,refcount_bits=2" $how
		parts --dedup -o "cluster_size=$size,extended_l2=on,refcount_bits=2" $how
	done
	try -o cluster_size=4k,refcount_bits=4 $how
	parts --dedup -o cluster_size=4k,refcount_bits=4 $how
done
try -o compat=0.10
try -z -o compat=0.10

# 64 clusters of one content, at most three references each: 22 clusters of it.
head -c $((4 * MIB)) /dev/zero | tr '\0' '\7' >disk.raw
q2s-stream --dedup disk.raw one.qcow2
q2s-stream --dedup -r 2 disk.raw three.qcow2
assert_equal $((21 * 65536)) $(($(stat -c %s three.qcow2) - $(stat -c %s one.qcow2))) "what the cap costs"
judge one.qcow2
judge three.qcow2
q2s-inspect dump --only refcounts one.qcow2 >dump
grep -q '\b64\b' dump || fail "no refcount is 64"
# The same at the cap of 16 bits: 40000 clusters are two of 32767 and 7233 references.
head -c $((40000 * 512)) /dev/zero | tr '\0' '\7' >disk.raw
q2s-stream --dedup -c 512 disk.raw two.qcow2
judge two.qcow2
q2s-inspect dump --only refcounts two.qcow2 >dump
grep -q '\b32767\b' dump || fail "no refcount is 32767"
grep -q '\b7233\b' dump || fail "no refcount is 7233"
q2s-stream --dedup -z -c 512 disk.raw two.qcow2
judge two.qcow2
qemu-img snapshot -c all two.qcow2
qemu_check_clean two.qcow2

# Without anything that is the same, sharing changes nothing; zeros take no part.
head -c $((3 * MIB)) /dev/urandom >disk.raw
truncate -s 20M disk.raw
dd if=/dev/zero of=disk.raw bs=$MIB seek=6 count=4 conv=notrunc status=none
q2s-stream disk.raw plain.qcow2
q2s-stream --dedup disk.raw out.qcow2
assert_same_bytes plain.qcow2 out.qcow2

# ---- a shared cluster that is written to is copied first

disk
for options in '' '-z' '-o extended_l2=on' '-o refcount_bits=4 -z'; do
	# shellcheck disable=SC2086  # words
	q2s-stream --dedup $options disk.raw out.qcow2
	cp disk.raw want.raw
	# of the byte that fills 64 clusters: part of one, all of another, across two, and discarded
	writes=(-c 'write -P 17 7000k 3k' -c 'write -P 18 7168k 64k' -c 'write -P 19 7290k 60k'
		-c 'write -z 8192k 64k' -c 'write -P 20 0 4k' -c 'write -P 21 2100k 1k')
	qemu-io -f raw "${writes[@]}" want.raw >/dev/null
	qemu-io -f qcow2 "${writes[@]}" out.qcow2 >/dev/null
	qemu_same_content want.raw out.qcow2 raw qcow2
	# Of two owners one has gone: QEMU does not tell the other, whose COPIED flag stays clear.
	got=0
	qemu-img check -f qcow2 out.qcow2 >/dev/null 2>&1 || got=$?
	expect_exit "$got" q2s-inspect check --output=json out.qcow2
	! grep -o '"id": "[a-z0-9-]*"' stdout | grep -v '"l2-copied-clear"' || fail "more than COPIED is wrong"
	# a cluster that was shared by two has one reference now, and still is not COPIED
	qemu-img check -r leaks out.qcow2 >repairs 2>&1 || fail "$options: qemu-img check -r leaks"
	qemu_check_clean out.qcow2
	qemu_same_content want.raw out.qcow2 raw qcow2
done

# Clusters that many share stay clean without that.
head -c $((4 * MIB)) /dev/zero | tr '\0' '\7' >disk.raw
q2s-stream --dedup disk.raw out.qcow2
qemu-io -f raw -c 'write -P 1 100k 200k' -c 'write -P 2 0 1k' disk.raw >/dev/null
qemu-io -f qcow2 -c 'write -P 1 100k 200k' -c 'write -P 2 0 1k' out.qcow2 >/dev/null
judge out.qcow2
qemu-img snapshot -c one out.qcow2
qemu-io -f raw -c 'write -P 3 1M 100k' disk.raw >/dev/null
qemu-io -f qcow2 -c 'write -P 3 1M 100k' out.qcow2 >/dev/null
judge out.qcow2

# ---- other sources, and a difference

disk
cat disk.raw | q2s-stream --dedup - piped.qcow2
q2s-stream --dedup disk.raw out.qcow2
assert_same_bytes out.qcow2 piped.qcow2
q2s-stream --dedup -f qcow2 out.qcow2 again.qcow2
judge again.qcow2
assert_same_bytes out.qcow2 again.qcow2

truncate -s $((22 * MIB)) base.raw
dd if=text of=base.raw bs=$MIB seek=4 conv=notrunc status=none
# the same data over a base that differs beside it, within one cluster
head -c 30000 noise | dd of=base.raw bs=4096 seek=$((15 * 256 + 10)) conv=notrunc status=none
for options in '' '-z' '-o extended_l2=on' '-o extended_l2=on,cluster_size=2M -z'; do
	# shellcheck disable=SC2086  # words
	q2s-stream --dedup $options -b base.raw -F raw disk.raw out.qcow2
	judge out.qcow2
done

# ---- what makes no sense is refused

expect_exit 1 q2s-stream --dedup -d disk.raw out
expect_stderr '^q2s-stream: --dedup'
expect_exit 1 q2s-stream --dedup -R disk.raw out
expect_exit 1 q2s-stream --dedup -O raw disk.raw out
expect_exit 1 q2s-stream --dedup --compare disk.raw disk.raw
expect_exit 1 q2s-stream --dedup -r 1 disk.raw out
expect_stderr 'refcount_bits of 2 or more'
expect_exit 1 q2s-stream --dedup --plan plan disk.raw out
[ ! -e out ] || fail "something refused left a file"
