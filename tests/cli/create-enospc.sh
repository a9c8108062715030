#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A full disk: the failure is told, and what was there before is still there.

. "$Q2S_SRC/tests/cli/lib.sh"
requires root mount umount

mkdir small
mount -t tmpfs -o size=1m tmpfs small 2>/dev/null || skip "a tmpfs cannot be mounted here"
cleanup_fn umount "$tmp/small"

q2s-create -q small/image 1M
cp small/image kept
for options in cluster_size=512,preallocation=metadata preallocation=falloc preallocation=full; do
	expect_exit 1 q2s-create --force -o "$options" small/image 1G
	expect_stderr '^q2s-create: small/image: .*No space left on device$'
	assert_same_bytes small/image kept
	assert_equal image "$(ls -A small)" "what the disk holds"
done

# The room is free again.
expect_exit 0 q2s-create --force small/image 2M
