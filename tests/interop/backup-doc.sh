#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Each command of doc/backup works, and what comes out of it is right.

. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/backup-lib.sh"
requires HAVE_LIBNBD HAVE_LIBGCRYPT qemu-img qemu-io qemu-nbd

qemu-img create -q -f qcow2 vm.qcow2 30M
qemu-io -c 'write -P 1 0 8M' -c 'write -P 2 20M 1M' vm.qcow2 >/dev/null
truncate -s 8M disk.raw

# run_machine WRITE...: the machine runs; truth.N is what its disk then shows.
points=0
run_machine() {
	qemu-io "$@" vm.qcow2 >/dev/null
	points=$((points + 1))
	qemu-img convert -f qcow2 -O raw vm.qcow2 truth.$points
}
qemu-img convert -f qcow2 -O raw vm.qcow2 truth.0

# What happens between the commands: the machine runs, libvirt exports the disk.
before() {
	case $1 in
	*'inspect bitmap mon vm.qcow2')
		run_machine -c 'write -P 3 1M 100k' -c 'write -z 4M 64k' -c 'write -P 1 5M 64k'
		;;
	*bitmap:mon*'-b mon.qcow2 '*)
		run_machine -c 'write -P 5 3M 100k' -c 'write -z 1M 64k'
		;;
	*qemu:dirty-bitmap:mon*' -b '*)
		run_machine -c 'write -P 4 2M 100k' -c 'write -z 20M 64k'
		serve -r -x vda -f qcow2 -B mon vm.qcow2
		;;
	*'-R -c 256k --bitmap mon disk.raw wrapper'*)
		stop_serving
		;;
	esac
}

count=0
while IFS= read -r command; do
	before "$command"
	command=${command//\/run\/backup\/vm.sock/$tmp/socket}
	expect_exit 0 bash -euo pipefail -c "$command"
	count=$((count + 1))
done < <(sed -n 's/^    \$ //p' "$Q2S_SRC/doc/backup")
assert_equal "$(grep -c '^    \$ ' "$Q2S_SRC/doc/backup")" "$count" "commands"

# As the page says: each point in time, by layers and by the names in the images.
assert_equal 3 "$points" "times that the machine ran"
assert_same_bytes truth.2 tuesday.raw
qemu_same_content truth.1 monday.qcow2
cmp -n $((30 << 20)) truth.0 sunday.raw
for day in full:0 mon:1 elsewhere:1 auto:1 tue:2 wed:3 piped:3; do
	qemu_same_content "truth.${day#*:}" "${day%:*}.qcow2"
done
for image in full mon elsewhere auto tue wed piped part wrapper monday copy; do
	qemu_check_clean $image.qcow2
done
expect_exit 0 q2s-stream --compare --layers full.qcow2,mon.qcow2,tue.qcow2,piped.qcow2 truth.3
cmp disk.raw <(head -c 8M /dev/zero)

# The table of wrappers.
while read -r size unit rest; do
	for cluster in 64k 256k 2M; do
		rm -f sparse.raw
		truncate -s "$size${unit%iB}" sparse.raw 2>/dev/null || continue
		want=${rest%% *}
		rest=${rest#"$want"}
		rest=${rest#"${rest%%[! ]*}"}
		got=$(q2s-stream --measure -R -c $cluster --bitmap mon:64k sparse.raw |
			sed -n 's/^exact length: //p')
		awk -v want="$want" -v got="$got" 'BEGIN {
			got /= 1048576
			exit !(got - want < 0.5 + want / 500 && want - got < 0.5 + want / 500)
		}' || fail "a wrapper of $size $unit with clusters of $cluster: $((got >> 10)) KiB"
	done
done < <(sed -n 's/^    \([0-9]\+ [GT]iB\) /\1 /p' "$Q2S_SRC/doc/backup")
