#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# 7-Zip (26.02) lists an image whose clusters are compressed with zstd, and names the method, but
# extracts nothing of it: "Unsupported Method". With zlib it reads the image.
#
# Seen: exit code 2 and no byte; the same disk with zlib: exit code 0 and all bytes.
# shellcheck source=findings/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

install "$qemu" 7zip=22.01+really26.02+dfsg-0+deb12u1
qemu-img create -q -f raw disk.raw 1M
qemu-io -f raw -c 'write -q -P 7 0 512k' disk.raw
for type in zlib zstd; do
	qemu-img convert -c -f raw -O qcow2 -o compression_type=$type disk.raw $type.qcow2
	qemu-img compare -q -f raw -F qcow2 disk.raw $type.qcow2
done
status=0
7zz x -so -tqcow zlib.qcow2 >zlib.raw 2>zlib.log || status=$?
expect "exit code with zlib" $status 0
cmp -s disk.raw zlib.raw || changed "zlib was read right"
status=0
7zz x -so -tqcow zstd.qcow2 >zstd.raw 2>zstd.log || status=$?
expect "exit code with zstd" $status 2
expect "bytes with zstd" "$(stat -c %s zstd.raw)" 0
grep -h 'Unsupported Method' zstd.log || changed "it said Unsupported Method"
{ 7zz l -tqcow zstd.qcow2 || :; } | grep "^Method = ZSTD" || changed "it listed the method"
