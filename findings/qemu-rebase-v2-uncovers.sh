#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A version 2 image without a backing file gets one by a safe rebase, which shall keep what the disk
# shows: where the image maps nothing it shows the bytes of the new backing file afterwards (QEMU 7.2).
# In version 3 it stays zero. No command fails, and a check finds nothing.
#
# Seen: byte 0x11 of the backing file in version 2, 0x00 in version 3.
# shellcheck source=findings/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

install "$qemu"
qemu-img create -q -f raw base.raw 1M
qemu-io -f raw -c 'write -q -P 0x11 0 1M' base.raw
# shown COMPAT: the first byte of the disk after the rebase
shown() {
	rm -f disk.qcow2
	qemu-img create -q -f qcow2 -o "compat=$1" disk.qcow2 1M
	qemu-img rebase -q -f qcow2 -b base.raw -F raw disk.qcow2
	qemu-img check -q disk.qcow2
	qemu-img convert -f qcow2 -O raw disk.qcow2 out.raw
	od -An -tx1 -N1 out.raw | tr -d ' '
}
expect "version 2" "$(shown 0.10)" 11
expect "version 3" "$(shown 1.1)" 00
