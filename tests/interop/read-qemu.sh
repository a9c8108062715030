#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Images as qemu-img makes and qemu-io changes them: QEMU and we must read the same.
. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io

to_raw=$Q2S_BUILD/tests/interop/disk_to_raw

# same IMAGE WHAT
same() {
	"$to_raw" "$1" out.raw || fail "$2 cannot be read"
	qemu_same_content out.raw "$1"
}

io() {
	qemu-io -f qcow2 "$@" >qemu-io.log
	if grep -iE 'error|failed' qemu-io.log; then
		fail "qemu-io $*"
	fi
}

# change IMAGE: data, zeros in both ways and discards, at odd places.
change() {
	io -c 'write -P 1 0 5000' -c 'write -P 2 100k 300k' -c 'write -P 3 2M 1M' \
		-c 'write -z 120k 40k' -c 'write -z -u 200k 128k' -c 'write -P 4 3500k 100k' \
		-c 'write -P 5 10000k 512' -c 'write -z 9000k 500k' -c 'discard 2560k 256k' "$1"
}

# Compressed clusters by QEMU's hand, one of them overwritten in part.
change_compressed() {
	io -c 'write -c -P 6 6M 2M' -c 'write -P 7 7M 700' "$1"
}

raw=source.raw
truncate -s 12M "$raw"
# Text and noise, dense and scattered.
seq 1 400000 | dd of="$raw" conv=notrunc bs=1M seek=1 status=none
head -c 700000 "$(command -v qemu-img)" | dd of="$raw" conv=notrunc bs=1M seek=7 status=none
for at in 0 300 2000 20000; do
	echo "$at" | dd of="$raw" conv=notrunc bs=512 seek="$at" status=none
done

options=(compat=0.10 compat=1.1)
for size in 512 4k 64k 2M; do
	options+=("cluster_size=$size" "cluster_size=$size,compression_type=zstd")
done
for size in 16k 64k 2M; do
	options+=("extended_l2=on,cluster_size=$size"
		"extended_l2=on,cluster_size=$size,compression_type=zstd")
done
for bits in 1 8 64; do
	options+=("refcount_bits=$bits")
done

for option in "${options[@]}"; do
	for compress in '' -c; do
		# shellcheck disable=SC2086 # no argument when empty
		qemu-img convert $compress -f raw -O qcow2 -o "$option" "$raw" image
		same image "$option $compress"
	done
	qemu-img create -q -f qcow2 -o "$option" image 12M
	change image
	change_compressed image
	same image "$option, changed"
done

for option in preallocation=metadata preallocation=falloc preallocation=full \
	preallocation=metadata,extended_l2=on,cluster_size=128k; do
	qemu-img create -q -f qcow2 -o "$option" image 12M
	same image "$option"
	change image
	same image "$option, changed"
done

# A virtual size of any multiple of 512, also none.
for size in 0 512 65024 65536 66048; do
	qemu-img create -q -f qcow2 image "$size"
	[ "$size" = 0 ] || io -c "write -P 9 $((size - 512)) 512" image
	same image "$size bytes"
done
