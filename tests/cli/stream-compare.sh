#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# --compare: exit 0 for the same, 2 for a difference, which is named, and 1 for what cannot be told.

. "$Q2S_SRC/tests/cli/lib.sh"

seq 1 300000 >a.raw
truncate -s 9M a.raw
q2s-stream a.raw a.qcow2
q2s-stream -z -c 4096 a.raw z.qcow2

expect_exit 0 q2s-stream --compare a.raw a.qcow2
expect_stdout '^The disks are the same\.$'
expect_silence
expect_exit 0 q2s-stream --compare z.qcow2 a.qcow2
expect_exit 0 q2s-stream --compare a.raw a.raw
expect_exit 0 q2s-stream --compare - a.raw <a.qcow2
expect_exit 0 q2s-stream --compare -f raw -F qcow2 a.raw a.qcow2
cat a.raw | expect_exit 0 q2s-stream --compare a.qcow2 -
expect_exit 2 q2s-stream --compare -f raw a.qcow2 a.raw
expect_exit 2 q2s-stream --compare -F raw a.raw a.qcow2

cp a.raw b.raw
printf X | dd of=b.raw bs=1 seek=1234567 conv=notrunc status=none
printf X | dd of=b.raw bs=1 seek=5234567 conv=notrunc status=none
expect_exit 2 q2s-stream --compare a.qcow2 b.raw
expect_stdout '^The disks differ at offset 1234567\.$'
expect_exit 2 q2s-stream --compare --output json b.raw z.qcow2
expect_stdout '^    "same": false,$'
expect_stdout '^    "offset": 1234567,$'
expect_stdout '^    "virtual-size-a": 9437184,$'
expect_exit 0 q2s-stream --compare --output json a.raw z.qcow2
expect_stdout '^    "same": true,$'
expect_stdout '^    "offset": null,$'

# What only one has is the same when it is zero, and then a warning says so.
cp a.raw longer.raw
truncate -s 10M longer.raw
expect_exit 0 q2s-stream --compare a.raw longer.raw
expect_stderr '^q2s-stream: warning: the sizes differ, 9437184 and 10485760 bytes'
printf X | dd of=longer.raw bs=1 seek=10000000 conv=notrunc status=none
expect_exit 2 q2s-stream --compare longer.raw a.raw
expect_stdout 'at offset 10000000\.$'

# As qemu-img sees it.
if command -v qemu-img >/dev/null; then
	qemu-img compare -q a.qcow2 a.raw
	expect_exit 1 qemu-img compare a.qcow2 b.raw
fi

expect_exit 1 q2s-stream --compare a.raw
expect_stderr 'B is missing; see q2s-stream --help$'
expect_exit 1 q2s-stream --compare a.raw b.raw c.raw
expect_exit 1 q2s-stream --compare - -
expect_stderr 'cannot both be the same pipe'
expect_exit 1 q2s-stream --compare a.raw missing.raw
expect_stderr '^q2s-stream: missing.raw: '
expect_exit 1 q2s-stream --compare missing.raw a.raw
expect_stderr '^q2s-stream: missing.raw: '
expect_exit 1 q2s-stream --compare -F qcow2 a.raw b.raw
expect_stderr '^q2s-stream: b.raw: '
expect_exit 1 q2s-stream -F raw a.raw x.qcow2
expect_stderr '^q2s-stream: -F is the format of B'
expect_exit 1 sh -c 'exec q2s-stream --compare a.raw a.raw >/dev/full'
[ ! -e x.qcow2 ] || fail "an image was written"
