#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What qemu-img create refuses q2s-create refuses, and what it accepts is accepted; but for a few
# cases, listed at the end, in which we mean to differ.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img

qemu-img create -q -f raw base 1M
qemu-img create -q -f qcow2 base.qcow2 1M
long=$(printf 'a%.0s' {1..300})
longer=$long$long$long$long
count=0

# attempt CMD [ARG...]: y or n.
attempt() {
	rm -f new.qcow2 data
	if "$@" >out 2>&1; then
		echo y
	else
		echo n
	fi
}

# refused_well WHAT: one line that names WHAT.
refused_well() {
	assert_equal 1 "$(wc -l <out)" "number of lines ($(cat out))"
	grep -q '^q2s-create: ' out || fail "who says this: $(cat out)"
	[ ! -e new.qcow2 ] || fail "an image was left behind by: $1"
	[ ! -e data ] || fail "a data file was left behind by: $1"
}

# both y|n [ARG...]: both tools accept, or refuse, these arguments.
both() {
	local want=$1

	shift
	assert_equal "$want" "$(attempt qemu-img create -q -f qcow2 "$@")" "qemu-img's answer to $*"
	assert_equal "$want" "$(attempt q2s-create -q "$@")" "our answer to $* ($(cat out))"
	[ "$want" = y ] || refused_well "$*"
	count=$((count + 1))
}

# unlike y|n [ARG...]: our answer; QEMU's is the other one.
unlike() {
	local want=$1

	shift
	assert_equal "$want" "$(attempt q2s-create -q "$@")" "our answer to $* ($(cat out))"
	[ "$want" = y ] || refused_well "$*"
	[ "$want" != "$(attempt qemu-img create -q -f qcow2 "$@")" ] ||
		fail "QEMU answers as we do to $*"
	count=$((count + 1))
}

# Sizes of the disk
for size in 0 1 511 512 1000 1k 1K 1m 1M 1G 1T 1b 0x1000 1.5M 1. 2P; do
	both y new.qcow2 "$size"
done
for size in "" k 1Q 1MB 1kk 1e3 1.5 0.1 1.5b " " 8E 9E 16E 9223372036854775807 \
	9223372036854775808 18446744073709551615 18446744073709551616 7E \
	2251799813685249; do
	both n new.qcow2 "$size"
done
assert_equal y "$(attempt q2s-create -q new.qcow2 .5M)" "our answer to .5M" # QEMU's: since 8
assert_equal n "$(attempt q2s-create -q new.qcow2 0x10k)" "our answer to 0x10k"
both n new.qcow2
both n
both n new.qcow2 1M 2M
both y -o size=1M new.qcow2
both n -o size=1M new.qcow2 1M
both y -o cluster_size=512 new.qcow2 128G
both n -o cluster_size=512 new.qcow2 137438953473
both n -o cluster_size=4k new.qcow2 9T
both n -o extended_l2=on,cluster_size=16k new.qcow2 65T
both n no-such-folder/new.qcow2 1M

# The list itself
for list in "" "," ",cluster_size=4k" "cluster_size=4k," ",,cluster_size=4k" foo foo=1 nofoo help=on \
	"cluster_size =4k" CLUSTER_SIZE=4k =4k; do
	both n -o "$list" new.qcow2 1M
done
both y -o cluster_size=4k,cluster_size=8k new.qcow2 1M
both y -o cluster_size=4k -o lazy_refcounts new.qcow2 1M
both y -o cluster_size=123,cluster_size=8k new.qcow2 1M

# Values
for value in 512 1k 4k 64k 65536 0x10000 1M 2M; do
	both y -o "cluster_size=$value" new.qcow2 1M
done
for value in "" 0 1 256 1000 1.5k 3k 4M 64kB 64K64 -512 1G; do
	both n -o "cluster_size=$value" new.qcow2 1M
done
both n -o cluster_size new.qcow2 1M
both n -o nocluster_size new.qcow2 1M
for value in 1 2 4 8 16 32 64 0x10; do
	both y -o "refcount_bits=$value" new.qcow2 1M
done
for value in "" 0 3 12 128 16k 1.0 -1 x; do
	both n -o "refcount_bits=$value" new.qcow2 1M
done
for value in 0.10 1.1 v2 v3; do
	both y -o "compat=$value" new.qcow2 1M
done
for value in "" 2 3 v1 v4 V3 0.1 1.10; do
	both n -o "compat=$value" new.qcow2 1M
done
both n -o compat new.qcow2 1M
for key in lazy_refcounts extended_l2; do
	for value in =on =off =yes =no =true =false =y =n ""; do
		both y -o "$key$value" new.qcow2 1M
	done
	for value in =On =1 =0 = =maybe; do
		both n -o "$key$value" new.qcow2 1M
	done
	both y -o "no$key" new.qcow2 1M
done
both y -o compression_type=zstd new.qcow2 1M
both n -o compression_type=ZSTD new.qcow2 1M
both n -o compression_type=lz4 new.qcow2 1M
both n -o compression_type= new.qcow2 1M
both n -o preallocation=blah new.qcow2 1M

# Combinations
both y -o compat=0.10,refcount_bits=16 new.qcow2 1M
both n -o compat=0.10,refcount_bits=8 new.qcow2 1M
both n -o compat=0.10,lazy_refcounts=on new.qcow2 1M
both n -o compat=0.10,extended_l2=on new.qcow2 1M
both n -o compat=0.10,compression_type=zstd new.qcow2 1M
both y -o compat=0.10,compression_type=zlib new.qcow2 1M
both n -o compat=0.10,data_file=data new.qcow2 1M
both n -o extended_l2=on,cluster_size=8k new.qcow2 1M
both y -o extended_l2=on,cluster_size=16k new.qcow2 1M
both n -o data_file_raw=on new.qcow2 1M
both n -o data_file= new.qcow2 1M
both n -o data_file=no-such-folder/data new.qcow2 1M
both n -o data_file=json:data new.qcow2 1M
both n -o data_file=new.qcow2 new.qcow2 1M

# Backing files
both y -b base -F raw new.qcow2
both y -b base -F raw new.qcow2 2M
both y -b base.qcow2 -F qcow2 new.qcow2
both y -b base.qcow2 -F raw new.qcow2
both y -o backing_file=base,backing_fmt=raw new.qcow2
both y -b base -o backing_fmt=raw new.qcow2
both y -b base -F raw -o backing_file=other new.qcow2
both n -b base new.qcow2
both n -F raw new.qcow2 1M
both n -b base -F qcow2 new.qcow2
both n -b base -F blah new.qcow2
both n -b base -F "" new.qcow2
both n -b "" -F raw new.qcow2 1M
both n -b missing -F raw new.qcow2
both n -b missing -F raw new.qcow2 1M
both n -b new.qcow2 -F raw new.qcow2 1M
both n -b "$PWD" -F raw new.qcow2 1M
both y -u -b missing -F raw new.qcow2 1M
both n -u -b missing -F raw new.qcow2
both n -u -b missing new.qcow2 1M
both n -u -b missing -F blah new.qcow2 1M
both n -u -b new.qcow2 -F raw new.qcow2 1M
both y -u -b nbd://host/disk -F raw new.qcow2 1M
both y -u -b 'json:{"driver":"null-co"}' -F raw new.qcow2 1M
both y -u -b missing -F vmdk new.qcow2 1M
both n -u -b "$longer" -F raw new.qcow2 1M
both y -u -b "$long" -F raw new.qcow2 1M
both y -u -b "$long" -F raw -o cluster_size=512 new.qcow2 1M
both n -u -b "$long$long" -F raw -o cluster_size=512 new.qcow2 1M
both n -b base -F raw -o preallocation=metadata new.qcow2
both y -b base -F raw -o preallocation=metadata,extended_l2=on new.qcow2
for mode in falloc full; do
	both y -o preallocation=$mode new.qcow2 1M
	both y -o preallocation=$mode,compat=v2 new.qcow2 1M
	both y -o preallocation=$mode,data_file=data new.qcow2 1M
	both n -b base -F raw -o preallocation=$mode new.qcow2
	both y -b base -F raw -o preallocation=$mode,extended_l2=on new.qcow2
done
for value in on off; do
	both y -o nocow=$value new.qcow2 1M
done
both n -o nocow=maybe new.qcow2 1M
for value in 0 1 64k 1M 4294967295; do
	both y -o extent_size_hint=$value new.qcow2 1M
done
for value in "" 4G 8G x -1; do
	both n -o "extent_size_hint=$value" new.qcow2 1M
done
both n -b base -F raw -o data_file=data,data_file_raw=on new.qcow2
both y -b base -F raw -o data_file=data new.qcow2

# We take KiB and the like.
unlike y new.qcow2 64KiB
unlike y -o cluster_size=64KiB new.qcow2 1M
# QEMU rounds a fraction of a byte off, takes a blank and a plus sign before a number, and a '+'.
unlike n new.qcow2 1.1k
unlike n new.qcow2 " 1M"
unlike n new.qcow2 +1M
# QEMU empties a data file, even when that is the backing file.
unlike n -o data_file=base,backing_file=base,backing_fmt=raw new.qcow2 1M
truncate -s 1M base
cp base kept
unlike n -o data_file=kept new.qcow2 1M

echo "$count cases"
