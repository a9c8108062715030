#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Block devices: what a run reads is not written over by way of a device, nor the other way round; a
# device that changes while it is read is noticed; one that QEMU has open for writing is not read.

. "$Q2S_SRC/tests/cli/lib.sh"

requires root losetup qemu-io

# device FILE: a loop device on it, in $device.
device() {
	device=$(losetup -f --show "$1" 2>/dev/null) || skip "no loop devices here"
	cleanup_fn losetup -d "$device"
}

# refused CMD...: it is in conflict, and the base is what it was.
refused() {
	expect_exit 1 "$@"
	expect_stderr "it is (the same file as|a part of|the device under) '[^']*', which is read"
	sync
	assert_same_bytes base.copy base.raw
}

head -c 2M /dev/urandom >base.raw
truncate -s 4M base.raw
cp base.raw base.copy
device base.raw
base=$device
q2s-create -q -b "$base" -F raw -w 'data@0+64k:1' over
refused q2s-stream --follow any -f qcow2 over "$base"
refused q2s-stream --follow any -f qcow2 over base.raw
refused q2s-stream --follow any -f qcow2 -O raw over "$base"
refused sh -c "q2s-stream --follow any -f qcow2 over 1<>$base"
refused q2s-stream -f raw "$base" base.raw
refused q2s-stream -f raw base.raw "$base"
refused q2s-create -q --force -b "$PWD/over" -F qcow2 "$base"
q2s-create -q -b base.raw -F raw -w 'data@0+64k:1' beside
refused q2s-stream -f qcow2 beside "$base"
mknod node b $((0x$(stat -c %t "$base"))) $((0x$(stat -c %T "$base")))
refused q2s-stream --follow any -f qcow2 over node
device base.raw
refused q2s-stream -f raw "$base" "$device"

# Written to while it is read.
head -c 8M /dev/zero | tr '\0' A >moving
device moving
q2s-stream -f raw --limit-rate 4M --progress=json "$device" moved 2>stderr &
stream=$!
until grep -q '"phase": "write", "done": [1-9]' stderr; do
	kill -0 $stream || fail "it ended by itself"
	sleep 0.05
done
dd if=/dev/urandom of="$device" bs=1M seek=6 count=2 conv=fsync status=none
got=0
wait $stream || got=$?
assert_equal 1 $got "exit code"
expect_stderr "^q2s-stream: $device: source at host offset .*: it was written to while it was read"
[ ! -e moved ] || fail "there is an output"
expect_exit 0 q2s-stream -f raw "$device" moved
expect_silence

# In use by QEMU.
hold -f raw "$device"
expect_exit 1 q2s-stream -f raw "$device" out
expect_stderr "^q2s-stream: $device: lock: it is open in another program.*-U reads"
expect_exit 0 q2s-stream -U -f raw "$device" out
let_go
expect_exit 0 q2s-stream -f raw "$device" out
