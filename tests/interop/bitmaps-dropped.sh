#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Bitmaps of SOURCE are not in the output, and that is said.

. "$Q2S_SRC/tests/cli/lib.sh"

requires qemu-img
q2s-create -q -w 'data@0+64k:1' image 1M
expect_exit 0 q2s-stream image out
expect_silence
qemu-img bitmap --add image one
expect_exit 0 q2s-stream image out
expect_stderr '^q2s-stream: warning: image: its 1 persistent bitmap is not carried over'
qemu-img bitmap --add image two
expect_exit 0 q2s-stream -z image out
expect_stderr '^q2s-stream: warning: image: its 2 persistent bitmaps are not carried over'
expect_exit 0 q2s-stream --measure image
expect_silence
