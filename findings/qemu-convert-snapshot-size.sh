#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# qemu-img convert -l SNAPSHOT (7.2) writes as many bytes as the disk has now, not as many as it had
# when the snapshot was made: a disk that has shrunk since loses its end, one that has grown gets
# zeros behind it. Nothing is said. The snapshot's own size is in its record.
#
# Seen: 1 MiB of a snapshot of 2 MiB, and 2 MiB of one of 1 MiB.
# shellcheck source=findings/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

install "$qemu"
# sizes THEN NOW: of the raw disk made of a snapshot
sizes() {
	qemu-img create -q -f qcow2 disk.qcow2 "$1"
	qemu-io -f qcow2 -c 'write -q -P 7 0 1M' disk.qcow2
	qemu-img snapshot -c before disk.qcow2
	qemu-img resize -q --shrink -f qcow2 disk.qcow2 "$2"
	qemu-img check -q disk.qcow2
	qemu-img convert -l snapshot.name=before -f qcow2 -O raw disk.qcow2 out.raw
	stat -c %s out.raw
}
expect "2M then, 1M now" "$(sizes 2M 1M)" 1048576
expect "1M then, 2M now" "$(sizes 1M 2M)" 2097152
