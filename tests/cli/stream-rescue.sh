#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A layer whose base is lost; DEST that is written in place; a link to what is not there yet.
. "$Q2S_SRC/tests/cli/lib.sh"

q2s-create -q base.qcow2 8M
q2s-create -q -b base.qcow2 -F qcow2 -w data@1M+1M:0x09 over.qcow2
q2s-stream -f qcow2 -O raw over.qcow2 want.raw
rm base.qcow2
expect_exit 1 q2s-stream -f qcow2 -O raw over.qcow2 got.raw
expect_exit 0 q2s-stream -f qcow2 -O raw --base-missing zero over.qcow2 got.raw
expect_stderr 'THE BACKING FILE IS MISSING'
assert_same_bytes want.raw got.raw

printf 'long content that goes' >dest
ln dest same
q2s-stream --in-place -O raw want.raw dest
assert_same_bytes want.raw same
expect_exit 1 q2s-stream --in-place -O raw dest same
ln -s new.raw link
q2s-stream -O raw want.raw link
assert_same_bytes want.raw new.raw
[ -L link ] || fail 'the link is gone'
