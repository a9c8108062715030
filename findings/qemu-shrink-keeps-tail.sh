#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A disk that is made smaller and then larger again shows what it held before in the cluster that the
# smaller size ended in, and zeros behind that cluster (QEMU 7.2). So "what is new reads as zero" does
# not hold for the rest of one cluster, and a backup that calls the grown part clean is wrong there.
#
# Seen: 1 MiB of 0xcd, 100 KiB, 1 MiB again, clusters of 64 KiB: 0xcd up to 128 KiB, zeros behind.
# shellcheck source=findings/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

install "$qemu"
qemu-img create -q -f qcow2 disk.qcow2 1M
qemu-io -f qcow2 -c 'write -q -P 0xcd 0 1M' disk.qcow2
qemu-img resize -q --shrink disk.qcow2 100k
qemu-img resize -q disk.qcow2 1M
# holds OFFSET LENGTH BYTE: yes or no
holds() {
	if qemu-io -f qcow2 -r -c "read -q -P $3 $1 $2" disk.qcow2 | grep -q failed; then
		echo no
	else
		echo yes
	fi
}
expect "0xcd from 100 KiB to 128 KiB" "$(holds 100k 28k 0xcd)" yes
expect "zeros from 128 KiB on" "$(holds 128k 896k 0)" yes
