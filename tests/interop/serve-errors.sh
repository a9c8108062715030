#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# nbdkit-q2s-plugin without space, and with images that somebody else uses or that must not be changed.

. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/serve-lib.sh"
requires qemu-img qemu-io

# Read-only means that no byte is written, not even by a client that tries.
q2s-create -q -w data@0+64k ro.qcow2 1M
cp ro.qcow2 before.qcow2
# shellcheck disable=SC2016 # nbdkit's shell knows $uri
expect_exit 1 serve -r ro.qcow2 --run 'qemu-io -f raw -c "write 0 4k" "$uri"'
# shellcheck disable=SC2016
expect_exit 0 serve ro.qcow2 --run 'qemu-io -f raw -c "read 0 64k" -c flush "$uri"'
assert_same_bytes before.qcow2 ro.qcow2

# Fast zeros: whole clusters, or the client is told that they are slow.
# shellcheck disable=SC2016
expect_exit 0 serve ro.qcow2 --run 'qemu-io -f raw -c "write -z -n 0 64k" "$uri"'
# shellcheck disable=SC2016
expect_exit 1 serve ro.qcow2 --run 'qemu-io -f raw -c "write -z -n 64k 4k" "$uri"'
expect_stdout 'Operation not supported'

# Version 2 has no zero flag: over a base zeros are written, which is not fast.
# can_fast_zero WANTED IMAGE [PARAMETER...]: 0 yes, 2 no
can_fast_zero() {
	# shellcheck disable=SC2016
	expect_exit "$1" serve "${@:2}" --run 'nbdinfo --can fast-zero "$uri"'
}
if command -v nbdinfo >/dev/null; then
	q2s-create -q -o compat=0.10 old.qcow2 1M
	q2s-create -q -o compat=0.10 -b ro.qcow2 -F qcow2 old-over.qcow2
	q2s-create -q -b ro.qcow2 -F qcow2 over.qcow2
	can_fast_zero 0 ro.qcow2
	can_fast_zero 0 old.qcow2
	can_fast_zero 2 old-over.qcow2 follow=beside
	can_fast_zero 0 over.qcow2 follow=beside
	# they are zero all the same
	# shellcheck disable=SC2016
	expect_exit 0 serve old-over.qcow2 follow=beside \
		--run 'qemu-io -f raw -c "write -z 0 64k" -c "read -P 0 0 64k" "$uri"'
	qemu-io -r -c 'read -P 0 0 64k' old-over.qcow2 >qemu-io.out
	! grep -q failed qemu-io.out || fail "QEMU sees other bytes: $(cat qemu-io.out)"
	sound old-over.qcow2
fi

# A machine that has it open.
qemu-io -c 'sleep 2000000' ro.qcow2 &
holder=$!
cleanup_fn sh -c "kill $holder 2>/dev/null || :"
for ((i = 0; i < 500; i++)); do
	! qemu-img info ro.qcow2 >/dev/null 2>&1 || { sleep 0.02; continue; }
	break
done
# shellcheck disable=SC2016
expect_exit 1 serve ro.qcow2 --run 'qemu-io -f raw -c "read 0 4k" "$uri"'
expect_stderr 'another program'
kill "$holder"
wait "$holder" || true
# and the other way round
server_start "$tmp/socket" ro.qcow2
qemu-io -f raw -c 'write 0 4k' "nbd+unix:///?socket=$tmp/socket" >/dev/null
expect_exit 1 qemu-io -c 'write 0 4k' ro.qcow2
expect_stderr 'lock'
server_stop
sound ro.qcow2

# Corrupt: not for change.
printf '\2' | dd of=ro.qcow2 bs=1 seek=79 conv=notrunc status=none
# shellcheck disable=SC2016
expect_exit 1 serve ro.qcow2 --run 'qemu-io -f raw -c "write 0 4k" "$uri"'
# shellcheck disable=SC2016
expect_exit 0 serve -r ro.qcow2 --run 'qemu-io -f raw -r -c "read 0 4k" "$uri"'

requires root mkfs.ext4
mkdir full
truncate -s 16M full.img
mkfs.ext4 -q -O ^has_journal full.img 2>/dev/null
mount -o loop full.img full || skip "cannot mount a file system"
cleanup_fn umount "$tmp/full"
q2s-create -q -o extended_l2=on full/image.qcow2 64M
# shellcheck disable=SC2016
expect_exit 1 serve full/image.qcow2 --run 'qemu-io -f raw -c "write -P 1 0 1M" -c flush -c "write -P 2 1M 40M" "$uri"'
expect_stdout 'No space left'
leaks_at_most full/image.qcow2
expect_exit 0 qemu-io -r -c 'read -P 1 0 1M' full/image.qcow2
# what is there can still be written over, and given back
# shellcheck disable=SC2016
expect_exit 0 serve full/image.qcow2 --run 'qemu-io -f raw -c "write -P 3 0 1M" -c "discard 1M 40M" -c flush "$uri"'
expect_exit 0 qemu-io -r -c 'read -P 3 0 1M' full/image.qcow2
