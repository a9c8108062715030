#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libqcow (20201213) opens a LUKS-encrypted image without a key and without an error, and returns the
# ciphertext as if it were the disk.
#
# Seen: other bytes than those that were written (0707...), and no error.
reader=$(dirname "$(readlink -f "$0")")/read_qcow.py
# shellcheck source=findings/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

install "$qemu" libqcow1=20201213-1+b2 python3-libqcow=20201213-1+b2
printf secret >key
qemu-img create -q --object secret,id=s,file=key -f qcow2 \
	-o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 disk.qcow2 1M
qemu-io --object secret,id=s,file=key --image-opts -c 'write -q -P 7 0 64k' -c 'read -q -P 7 0 64k' \
	driver=qcow2,encrypt.key-secret=s,file.filename=disk.qcow2
python=$(command -v /usr/bin/python3) || skip "python3 is missing"
export PYTHONPATH=$here/root/usr/lib/python3/dist-packages
got=$("$python" "$reader" disk.qcow2 0 8)
echo "read without a key: $got"
[ "$got" != error ] || changed "it was read without an error"
[ "$got" != 0707070707070707 ] || changed "it was not decrypted"
