#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# nbdkit-q2s-plugin is killed at random moments: clusters may leak, what a flush covered is there, and
# each sector is what it was or what was written. Q2S_CRASHES: how often, for each image.

. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/serve-lib.sh"
requires HAVE_LIBNBD qemu-img

nbd_crash=$Q2S_BUILD/tests/interop/nbd_crash
crashes=${Q2S_CRASHES:-3}
seed=${Q2S_SEED:-1}

head -c 16M /dev/urandom >base.raw
truncate -s 24M base.raw

# crash IMAGE: run, kill, judge; the image that is left is used again.
crash() {
	local client i

	for ((i = 0; i < crashes; i++)); do
		qemu-img convert -f qcow2 -O raw "$1" before.raw
		server_start "$tmp/socket" "$1" follow=any
		rm -f client.out
		"$nbd_crash" run "nbd+unix:///?socket=$tmp/socket" "$((seed++))" 4 state >client.out &
		client=$!
		while [ ! -s client.out ]; do
			kill -0 "$client" || fail "the client ended too early: $(cat "$tmp/server.log")"
			sleep 0.02
		done
		sleep "0.$((RANDOM % 90 + 10))"
		kill -9 "$server"
		wait "$server" || true
		wait "$client" || fail "the client found a failure before the crash: $(cat "$tmp/server.log")"
		leaks_at_most "$1"
		qemu-img convert -f qcow2 -O raw "$1" after.raw
		"$nbd_crash" verify state before.raw after.raw || fail "$1 after crash $i: $(cat client.out)"
	done
}

for options in cluster_size=4k cluster_size=64k extended_l2=on,cluster_size=64k \
	extended_l2=on,cluster_size=2M; do
	q2s-create -q -o "$options" image.qcow2 24M
	crash image.qcow2
	rm image.qcow2
	q2s-create -q -o "$options" -b base.raw -F raw image.qcow2 24M
	crash image.qcow2
	rm image.qcow2
done
