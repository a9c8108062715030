#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-edit salvage: what a wiped L2 table, or a wiped L1 entry, mapped is put back; what is called
# certain is right, and the rest mostly.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img jq mkfs.xfs
. "$Q2S_SRC/tests/interop/salvage-lib.sh"

# A file system with small and large files, and some zeros in them.
mkdir files
for i in {1..40}; do
	head -c $((i * i * 4001)) /dev/urandom >files/f$i
done
{ head -c 30M /dev/urandom; head -c 1M /dev/zero; head -c 60M /dev/urandom; } >files/large
{
	printf '%s\n' /dev/null '0 0' 'd--755 0 0' 'large ---644 0 0 files/large' 'dir d--755 0 0'
	for i in {1..40}; do echo "f$i ---644 0 0 files/f$i"; done
	printf '%s\n' '$' '$'
} >proto

# disk OFFSET: a disk of 1 GiB, with the file system at OFFSET, as raw and as whole.qcow2.
disk() {
	rm -f raw fs whole.qcow2
	truncate -s $((1024 - $1 / 1048576))M fs
	mkfs.xfs -q -p proto fs >mkfs.log 2>&1 || skip "mkfs.xfs does not do it: $(head -n 1 mkfs.log)"
	truncate -s 1G raw
	dd if=fs of=raw bs=1M seek=$(($1 / 1048576)) conv=notrunc,sparse status=none
	qemu-img convert -f raw -O qcow2 raw whole.qcow2
}

# mapped: clusters that the wiped table mapped: those that are orphans now.
mapped() {
	{ q2s-inspect check --output=json --max-findings=0 image || :; } | jq .leaks
}

for offset in 0 1048576; do
	disk $offset
	l1=$(number 40)
	for index in 0 1; do
		table=$(($(number $((l1 + 8 * index))) & 0xffffffffffff))
		for what in table entry; do
			cp whole.qcow2 image
			if [ $what = table ]; then zeros $table 65536; else zeros $((l1 + 8 * index)) 8; fi
			cp image wiped
			all=$(mapped)
			rm -f plan undo
			q2s-edit salvage --plan plan image >salvage.out
			assert_same_bytes wiped image
			certain_is_right
			q2s-edit repair -q --apply plan --undo undo image >repair.out || :
			wrong=$(wrong_clusters)
			echo "offset $offset, L2 table $index, $what wiped: $wrong of $all clusters are not back"
			[ $((10 * wrong)) -le "$all" ] || fail "less than 90 % are back: $(cat salvage.out)"
			q2s-inspect check --output=json image >check.json || :
			assert_equal 0 "$(jq '.corruptions // 0' check.json)" corruptions
			q2s-edit repair -q --revert undo image
			assert_same_bytes wiped image
		done
	done
done

# Only what is certain.
q2s-edit salvage --certain --plan sure image >salvage.out
if grep '^  sure  likely' sure; then fail "--certain has what is likely"; fi

# Nothing to be found is no failure; neither is an image without a file system.
q2s-create -q -w data@0+1M:1 empty.qcow2 4M
expect_exit 0 q2s-edit salvage --plan none empty.qcow2
expect_stdout '^0 clusters'
expect_exit 0 q2s-edit salvage --help
