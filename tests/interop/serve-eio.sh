#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# nbdkit-q2s-plugin on a disk that fails: its clients are told, what it has is still shown, and the image
# stays consistent. strace makes the calls fail.

. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/serve-lib.sh"
requires qemu-img qemu-io strace
strace -o strace.out true 2>/dev/null || skip "strace cannot trace here"

# failing CALL QEMU-IO-COMMAND...: what a client of such a server sees is in stdout.
failing() {
	local call=$1 command commands=

	shift
	for command; do
		commands+=" -c '$command'"
	done
	strace -f -o strace.out -e trace="$call" -e inject="$call":error=EIO \
		nbdkit -f -U - "$plugin" image.qcow2 --run "qemu-io -f raw -t writeback $commands \"\$uri\"" \
		>stdout 2>stderr || true
	grep -q INJECTED strace.out || fail "no call failed"
}

for options in cluster_size=64k extended_l2=on,cluster_size=128k; do
	q2s-create -q -o "$options" -w data@0+1M:0x11 image.qcow2 4M
	cp image.qcow2 before.qcow2

	# Nothing can be written.
	failing pwrite64 'write -P 2 1M 64k' 'read -P 0 1M 64k' 'read -P 0x11 0 1M'
	expect_stdout 'write failed: Input/output error'
	assert_equal 2 "$(grep -c '^read [0-9]*/' stdout)" "reads that went well"
	! grep -q 'Pattern verification failed' stdout || fail "it shows other bytes: $(cat stdout)"
	leaks_at_most image.qcow2
	qemu_same_content image.qcow2 before.qcow2 qcow2 qcow2

	# What a failed sync has made durable is not known: nothing is built on it.
	failing fdatasync 'write -P 3 2M 64k' flush 'write -P 4 3M 64k' 'read -P 0x11 0 1M'
	expect_stdout 'Input/output error'
	assert_equal 1 "$(grep -c '^wrote [0-9]*/' stdout)" "writes that went well"
	assert_equal 1 "$(grep -c '^read [0-9]*/' stdout)" "reads that went well"
	leaks_at_most image.qcow2
	expect_exit 0 qemu-io -r -c 'read -P 0x11 0 1M' -c 'read -P 0 3M 64k' image.qcow2

	# Once the disk works the image does.
	# shellcheck disable=SC2016 # nbdkit's shell knows $uri
	expect_exit 0 serve image.qcow2 --run 'qemu-io -f raw -c "write -P 5 2M 64k" -c flush "$uri"'
	expect_exit 0 qemu-io -r -c 'read -P 0x11 0 1M' -c 'read -P 5 2M 64k' image.qcow2
	leaks_at_most image.qcow2
	rm image.qcow2
done
