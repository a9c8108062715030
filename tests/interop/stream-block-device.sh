#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Block devices, as source and as destination: whole, large enough, and not in use.

. "$Q2S_SRC/tests/cli/lib.sh"
requires root qemu-img losetup mkfs.ext4 mount umount

make_disk=$Q2S_BUILD/tests/interop/make_disk

# device FILE: attach it; the name is in $device.
device() {
	device=$(losetup --show -f "$1" 2>losetup.log) || skip "no loop device: $(cat losetup.log)"
	cleanup_fn losetup -d "$device"
}

"$make_disk" disk $((20 << 20)) data@1000000+3000000 zero@5000000+5000000 "data@$((20 << 20 - 512))+512"
device disk
source=$device
q2s-stream disk want
q2s-stream "$source" | cmp - want || fail "a device reads otherwise than its file"
q2s-stream -O raw "$source" | cmp - disk || fail "a device reads otherwise than its file"

# A destination with old content: what is zero in the image must be zero on it.
head -c $((30 << 20)) /dev/zero | tr '\0' x >host
device host
length=$(stat -c %s want)
q2s-stream disk "$device"
sync
head -c "$length" host | cmp - want || fail "the device has other bytes"
tail -c 1000000 host | tr -d x | cmp - /dev/null || fail "what is behind the image was touched"
q2s-stream -O raw disk "$device"
head -c $((20 << 20)) "$device" | cmp - disk || fail "the device has other bytes"
head -c $((30 << 20)) /dev/zero | tr '\0' x >"$device"
q2s-stream -O raw disk >"$device"
head -c $((20 << 20)) "$device" | cmp - disk || fail "a redirected device has other bytes"

# Space on a device is there already, but has to be zero.
for mode in metadata falloc full; do
	head -c $((30 << 20)) /dev/zero | tr '\0' x >"$device"
	q2s-stream -o preallocation=$mode disk "$device"
	qemu_same_content disk "$device"
	q2s-stream -o preallocation=metadata disk | cmp -n "$(q2s-stream --measure -o preallocation=$mode disk |
		sed -n 's/exact length: //p')" - "$device" || fail "$mode: the device has other bytes"
done
head -c $((30 << 20)) /dev/zero | tr '\0' x >"$device"
q2s-stream -O raw -o preallocation=falloc disk "$device"
head -c $((20 << 20)) "$device" | cmp - disk || fail "falloc: the device has other bytes"

# The same device, under whatever name.
mknod node b $((0x$(stat -c %t "$source"))) $((0x$(stat -c %T "$source")))
expect_exit 1 q2s-stream "$source" node
expect_stderr 'same file'

# Too small, and in use.
head -c 1000000 /dev/zero | tr '\0' x >small
device small
expect_exit 1 q2s-stream disk "$device"
expect_stderr 'block device.*too small'
truncate -s 40M mine
mkfs.ext4 -q -F mine
device mine
mkdir mounted
mount "$device" mounted 2>mount.log || skip "cannot mount: $(cat mount.log)"
cleanup_fn umount "$tmp/mounted"
cp mine kept
expect_exit 1 q2s-stream disk "$device"
expect_stderr "^q2s-stream: $device: .*busy"
assert_same_bytes kept mine
