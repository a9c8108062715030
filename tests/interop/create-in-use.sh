#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An image that QEMU has open is not replaced under it, not even by force.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-io mkfifo

q2s-create -q image 1M
cp image kept
mkfifo commands
qemu-io -f qcow2 image <commands >said 2>&1 &
exec 3>commands
echo 'write -P 1 0 64k' >&3
until grep -q wrote said; do
	kill -0 $! 2>/dev/null || fail "qemu-io ended: $(cat said)"
	sleep 0.01
done
before=$(stat -c %i image)
expect_exit 1 q2s-create --force image 2M
expect_stderr '^q2s-create: image: output: another process has locked it: '
expect_exit 1 q2s-create --force -o data_file=image new 2M
expect_stderr '^q2s-create: image: output: another process has locked it: '
[ ! -e new ] || fail "an image was left behind"
assert_equal "$before" "$(stat -c %i image)" "inode"
echo quit >&3
exec 3>&-
wait
expect_exit 0 q2s-create --force image 2M
assert_same_bytes image <(q2s-create -q other 2M && cat other)
