#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Random reads of a large disk through nbdkit-q2s-plugin read no more of its tables than QEMU does with
# a cache of the same size. Q2S_READS: how many.

. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/serve-lib.sh"
requires qemu-io qemu-nbd

reads=${Q2S_READS:-1500}
q2s-create -q -o preallocation=metadata image.qcow2 1T
awk -v reads="$reads" 'BEGIN {
	srand(7)
	for (i = 0; i < reads; i++)
		printf "read -q %.0f 4k\n", int(rand() * 2 ^ 28) * 4096
}' >commands

# bytes_read PID: what it had the kernel read from files.
bytes_read() {
	awk '/^rchar/ { print $2 }' "/proc/$1/io"
}

# read_all PID: its server reads all; sets $got to the bytes for each read.
read_all() {
	local before

	[ -r "/proc/$1/io" ] || skip "this system does not count what a process reads"
	before=$(bytes_read "$1")
	qemu-io -f raw -r "nbd+unix:///?socket=$tmp/socket" <commands >/dev/null
	got=$((($(bytes_read "$1") - before) / reads))
}

# theirs SIZE: QEMU with slices as small as ours.
theirs() {
	local i peer

	rm -f socket
	qemu-nbd -r -t -k "$tmp/socket" --image-opts \
		"driver=qcow2,l2-cache-size=$1,l2-cache-entry-size=4096,file.filename=image.qcow2" &
	peer=$!
	cleanup_fn sh -c "kill -9 $peer 2>/dev/null || :"
	for ((i = 0; i < 500; i++)); do
		[ ! -S socket ] || break
		sleep 0.02
	done
	read_all "$peer"
	kill "$peer"
	wait "$peer" || true
}

# 128 MiB of tables: nearly all is read anew, or half of it is there in the end.
for size in 1M 64M; do
	server_start "$tmp/socket" -r image.qcow2 "cache=$size"
	read_all "$server"
	# 4 KiB of data, and a slice
	[ "$got" -le $((4096 + 4096 + 100)) ] || fail "cache=$size: $got bytes for a read"
	ours=$((got - 4096))
	server_stop
	theirs "$size"
	# QEMU looks at the file's holes instead of reading them, so its figure is of tables alone
	[ "$ours" -le $((got + got / 50)) ] || fail "cache=$size: $ours bytes for a read, QEMU $got"
done
