#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A file system that was used: mounted, written by the kernel, with files that come, go and grow; then
# an image. Its first L2 table is wiped: repair gives nothing away, salvage puts at least 90 % of what
# the table mapped back, and nothing that it calls certain is wrong.

. "$Q2S_SRC/tests/cli/lib.sh"
requires root qemu-img jq mkfs.xfs mount umount
. "$Q2S_SRC/tests/interop/salvage-lib.sh"

truncate -s 1G raw
mkfs.xfs -q raw
mkdir mnt
mount -o loop raw mnt 2>mount.err || skip "no loop mount: $(head -n 1 mount.err)"
cleanup_fn umount -q mnt
for i in {1..40}; do
	head -c $((i * i * 2003)) /dev/urandom >mnt/f$i
done
mkdir -p mnt/dir/{0..4}
for i in {1..300}; do
	echo "$i" >"mnt/dir/$((i % 5))/small$i"
done
sync -f mnt
rm mnt/f{10..16}
for i in {30..34}; do
	head -c 1M /dev/urandom >>mnt/f$i
done
umount mnt
qemu-img convert -f raw -O qcow2 raw whole.qcow2
cp whole.qcow2 image
table=$(($(number "$(number 40)") & 0xffffffffffff))
zeros $table 65536
cp image wiped
leaks=$({ q2s-inspect check --output=json --max-findings=0 image || :; } | jq .leaks)

for which in leaks all; do
	expect_exit 3 q2s-edit repair -r $which image
	expect_stdout "^$leaks leaked clusters are kept"
	assert_same_bytes wiped image
done

q2s-edit salvage --plan plan image >salvage.out
certain_is_right
[ -s certain ] || fail "nothing is certain: $(cat salvage.out)"
q2s-edit repair -q --apply plan --undo undo image >repair.out || :
wrong=$(wrong_clusters)
echo "$wrong of $leaks clusters are not back"
[ $((10 * wrong)) -le "$leaks" ] || fail "less than 90 % are back: $(cat salvage.out)"
q2s-edit repair -q --revert undo image
assert_same_bytes wiped image
