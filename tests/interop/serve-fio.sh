#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fio writes through nbdkit-q2s-plugin and verifies what it reads back.

. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/serve-lib.sh"
requires fio qemu-img
fio --enghelp 2>/dev/null | grep -q nbd || skip "fio has no nbd engine"

truncate -s 32M base.raw
for options in cluster_size=64k extended_l2=on,cluster_size=128k extended_l2=on,cluster_size=2M; do
	q2s-create -q -o "$options" -b base.raw -F raw image.qcow2 32M
	# shellcheck disable=SC2016 # nbdkit's shell knows $uri
	serve image.qcow2 follow=any --run 'fio --name=v --ioengine=nbd --uri="$uri" --rw=randwrite \
		--bs=4k --iodepth=16 --size=32M --io_size=16M --verify=crc32c --verify_fatal=1 \
		--randseed=1' >fio.out 2>&1 || fail "fio: $(tail -n 20 fio.out)"
	grep -q 'err= 0' fio.out || fail "fio: $(tail -n 20 fio.out)"
	sound image.qcow2
	rm image.qcow2
done
