#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A discard in a version 3 image without a backing file leaves an entry that reads as zero, where
# version 2 leaves an unallocated one (QEMU 7.2). So images of ordinary guests have zero clusters,
# and a reader that does not know the zero flag fails on them: see libqcow-zero-clusters.sh.
#
# Seen: "present": true for the discarded range in version 3, false in version 2.
# shellcheck source=findings/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

install "$qemu"
# present COMPAT: what the map says of a discarded cluster
present() {
	qemu-img create -q -f qcow2 -o "compat=$1" disk.qcow2 1M
	qemu-io -f qcow2 -d unmap -c 'write -q -P 7 0 64k' -c 'discard -q 0 64k' disk.qcow2
	qemu-img map --output=json disk.qcow2 | sed -n '1s/.*"present": \([a-z]*\).*/\1/p'
}
expect "version 3" "$(present 1.1)" true
expect "version 2" "$(present 0.10)" false
