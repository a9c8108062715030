#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libqcow (20201213) does not know the zero flag of L2 entries: it takes the entry for a data cluster
# at offset 0 and returns the first bytes of the image file itself, without an error. A guest that
# wrote zeros, or discarded, makes such clusters in any version 3 image; forensic tools on top of
# libqcow show "QFI" and header fields where the disk has zeros.
#
# Seen: 514649fb00000003 at offset 0 of the disk; right: 0000000000000000.
reader=$(dirname "$(readlink -f "$0")")/read_qcow.py
# shellcheck source=findings/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

install "$qemu" libqcow1=20201213-1+b2 python3-libqcow=20201213-1+b2
qemu-img create -q -f qcow2 disk.qcow2 1M
qemu-io -f qcow2 -c 'write -P 7 64k 64k' -c 'write -z 0 64k' disk.qcow2 >/dev/null
qemu-img check -q disk.qcow2
qemu-io -f qcow2 -c 'read -q -P 0 0 64k' disk.qcow2
python=$(command -v /usr/bin/python3) || skip "python3 is missing"
export PYTHONPATH=$here/root/usr/lib/python3/dist-packages
expect "data" "$("$python" "$reader" disk.qcow2 65536 8)" 0707070707070707
expect "zero cluster" "$("$python" "$reader" disk.qcow2 0 8)" 514649fb00000003
