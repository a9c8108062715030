#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Memory stays below 128 MiB however many threads are asked for, also where each of them needs
# much: large clusters, compressed on both sides, by an encoder with large tables.

. "$Q2S_SRC/tests/cli/lib.sh"
skip_under_sanitizers
[ -r /proc/self/status ] || skip "needs /proc, which tells how much memory a process took"

seq 8500000 >disk
truncate -s 64M disk
q2s-stream -z -c 2M disk zlib.qcow2
q2s-stream -zzstd:1 -c 2M disk zstd.qcow2
mkfifo pipe

# peak_is_low OPTIONS...: when the first byte of the output comes, everything was compressed once.
peak_is_low() {
	local peak

	q2s-stream "$@" >pipe &
	exec 3<pipe
	head -c 1 <&3 >/dev/null
	peak=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB$/\1/p' "/proc/$!/status")
	exec 3<&-
	wait "$!" && fail "it ended before its output was read: $*"
	[ "$peak" -lt $((128 << 10)) ] || fail "$peak KiB with: $*"
}

peak_is_low -j 64 -z -c 2M disk
peak_is_low -j 64 -z -f qcow2 zlib.qcow2
peak_is_low -j 64 -z -c 2M -f qcow2 zstd.qcow2
peak_is_low -j 64 -zzstd:9 -c 1M disk
peak_is_low -j 64 --dedup -f qcow2 zlib.qcow2
peak_is_low -j 64 -z -c 2M -b zlib.qcow2 -F qcow2 -f qcow2 zstd.qcow2
