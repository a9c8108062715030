#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-inspect bitmap shows what QEMU's server shows of the same bitmap.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img qemu-io qemu-nbd nbdinfo jq

# same_map NAME IMAGE: both show the same ranges, byte for byte.
same_map() {
	qemu-nbd -r -t -e 2 -k "$tmp/socket" -f qcow2 -B "$1" "$2" --fork --pid-file="$tmp/pid"
	nbdinfo --map="qemu:dirty-bitmap:$1" --json "nbd+unix:///?socket=$tmp/socket" >want
	kill "$(cat pid)"
	while [ -e "$tmp/socket" ] && kill -0 "$(cat pid)" 2>/dev/null; do sleep 0.02; done
	rm -f "$tmp/socket"
	expect_exit 0 q2s-inspect bitmap "$1" "$2" --output=json
	diff -u want stdout || fail "bitmap $1 of $2"
}

for options in cluster_size=512 cluster_size=64k,extended_l2=on cluster_size=2M; do
	rm -f disk.qcow2
	qemu-img create -q -f qcow2 -o $options disk.qcow2 50000384
	for g in 512 65536 2097152; do
		qemu-img bitmap --add -g $g disk.qcow2 "g $g"
	done
	qemu-img bitmap --add disk.qcow2 empty --disable
	qemu-io -c 'write 1M 192k' -c 'write -z 5M 1M' -c 'write 777 1' -c 'write 9M 20M' \
		-c 'write 50000000 384' disk.qcow2 >/dev/null
	for name in 'g 512' 'g 65536' 'g 2097152' empty; do
		same_map "$name" disk.qcow2
	done
done

# For people.
expect_exit 0 q2s-inspect bitmap 'g 65536' disk.qcow2
expect_stdout '^bitmap "g 65536": granularity 64 KiB, enabled$'
expect_stdout '^ *0x100000 +0x30000 +192 KiB +dirty$'
expect_stdout '^dirty .* \([0-9]+ bytes\), clean '
expect_exit 0 q2s-inspect bitmap empty disk.qcow2
expect_stdout 'disabled$'
expect_stdout '^dirty 0 B \(0 bytes\)'

# All of them: as qemu-img info, and how many bytes each calls dirty.
expect_exit 0 q2s-inspect bitmap --output=json disk.qcow2
cp stdout list
qemu-img info --output=json disk.qcow2 | jq -S '."format-specific".data.bitmaps' >want
jq -S 'map(del(."dirty-bytes"))' list >got
assert_same_bytes want got
for name in 'g 512' 'g 65536' 'g 2097152' empty; do
	q2s-inspect bitmap "$name" disk.qcow2 --output=json |
		jq '[.[] | select(.type == 1).length] | add // 0' >want
	jq --arg name "$name" '.[] | select(.name == $name)."dirty-bytes"' list >got
	assert_same_bytes want got
done
expect_exit 0 q2s-inspect bitmap disk.qcow2
expect_stdout '^ *512 B +[1-9.]+ MiB +auto +"g 512"$'
expect_stdout '^ *64 KiB +0 B +"empty"$'
qemu-img create -q -f qcow2 bare.qcow2 1M
expect_exit 0 q2s-inspect bitmap bare.qcow2
expect_stdout '^no bitmaps$'
expect_exit 0 q2s-inspect bitmap --output=json bare.qcow2
assert_equal '[]' "$(cat stdout)" 'bitmaps of an image without any'

# What must not be trusted.
expect_exit 1 q2s-inspect bitmap none disk.qcow2
expect_stderr "^q2s-inspect: disk.qcow2: bitmap: there is none called 'none'"
qemu-nbd -t -e 2 -k "$tmp/socket" -f qcow2 disk.qcow2 --fork --pid-file="$tmp/pid"
cp disk.qcow2 live.qcow2
kill "$(cat pid)"
expect_exit 1 q2s-inspect bitmap 'g 512' live.qcow2
expect_stderr "bitmap flags at host offset 0x.*: bitmap 'g 512' is in use"
expect_exit 0 q2s-inspect bitmap live.qcow2
expect_stdout '^ *512 B +unknown +in-use auto +"g 512"$'
q2s-inspect bitmap --output=json live.qcow2 |
	jq -e 'all(."dirty-bytes" == null and (.flags | index("in-use")))' >/dev/null || fail 'JSON of bitmaps in use'
cp live.qcow2 stale.qcow2
printf '\0' | dd of=stale.qcow2 bs=1 seek=95 conv=notrunc status=none
expect_exit 1 q2s-inspect bitmap 'g 512' stale.qcow2
expect_stderr 'without support for bitmaps wrote to this image'
expect_exit 1 q2s-inspect bitmap stale.qcow2
expect_stderr 'stale.qcow2: bitmaps: .*without support for bitmaps wrote to this image'
expect_exit 1 q2s-inspect bitmap
expect_stderr 'FILE is missing'
