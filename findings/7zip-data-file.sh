#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 7-Zip (26.02) takes the offsets of an image with an external data file for offsets in the image
# itself: it writes the image's own header where the disk begins, and then fails with "Unexpected end
# of data". It ignores the incompatible feature bit that says where the data is.
#
# Seen: the first bytes are 514649fb, those of the disk are 07070707.
# shellcheck source=findings/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

install "$qemu" 7zip=22.01+really26.02+dfsg-0+deb12u1
qemu-img create -q -f qcow2 -o data_file=data.raw disk.qcow2 1M
qemu-io -f qcow2 -c 'write -q -P 7 0 1M' -c 'read -q -P 7 0 1M' disk.qcow2
status=0
7zz x -so -tqcow disk.qcow2 >disk.raw 2>disk.log || status=$?
expect "exit code" $status 2
expect "first bytes" "$(head -c 4 disk.raw | od -An -tx1 | tr -d ' ')" 514649fb
