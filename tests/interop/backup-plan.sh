#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A kept plan of a difference depends on what changed, and on nothing else: only that is read for it,
# and only a change of that is a change of the source.

. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/backup-lib.sh"
requires HAVE_LIBNBD qemu-img qemu-io qemu-nbd nbdinfo jq

# Data everywhere; then data, the same data again, and zeros.
head -c 20000256 /dev/urandom >full.raw
qemu-img convert -f raw -O qcow2 full.raw vm.qcow2
q2s-stream vm.qcow2 full.qcow2
qemu-img bitmap --add -g 65536 vm.qcow2 mon
dd if=full.raw of=piece bs=65536 skip=100 count=1 status=none
qemu-io -c 'write -P 5 1M 192k' -c 'write -s piece 6553600 65536' -c 'write -z 9M 1M' \
	-c 'write -P 7 19M 64k' vm.qcow2 >/dev/null
truncate -s 40M vm.qcow2 # so that another write does not make it longer
qemu-img convert -f qcow2 -O raw vm.qcow2 now.raw
qemu_bitmap mon vm.qcow2 >map

# Once for the plan, once for the image; with a base once more, for what differs.
for with in --backing-name -b; do
	how=("$with" full.qcow2 -F qcow2)
	serve_traced mon vm.qcow2
	q2s-stream --changed=qemu:dirty-bitmap:mon "${how[@]}" --save-plan plan "$uri" want.qcow2
	stop_tracing
	qemu_check_clean want.qcow2
	qemu_same_content now.raw want.qcow2
	assert_only_dirty map
	[ "$(bytes_read)" -le $((3 * $(dirty_bytes map))) ] ||
		fail "$(bytes_read) bytes were read, $(dirty_bytes map) are dirty"
	serve_traced mon vm.qcow2
	for k in 1 2 3; do
		q2s-stream --plan plan --part $k/3 "$uri"
	done | cmp - want.qcow2
	stop_tracing
	assert_only_dirty map
done

# try STATUS WRITE OPTION...: use the plan of a difference for a disk with one more write, in another file
# of the same times, and at a server.
try() {
	local want=$1 write=$2
	shift 2

	q2s-stream --changed=bitmap:mon "$@" --save-plan plan vm.qcow2 want.qcow2
	cp vm.qcow2 other.qcow2
	qemu-io -c "$write" other.qcow2 >/dev/null
	assert_equal "$(stat -c %s vm.qcow2)" "$(stat -c %s other.qcow2)" 'length of the other file'
	touch -r vm.qcow2 other.qcow2
	rm -f out.qcow2
	expect_exit "$want" q2s-stream --plan plan other.qcow2 out.qcow2
	judge_try "$want"
	serve -r -f qcow2 -B mon vm.qcow2
	q2s-stream --changed=qemu:dirty-bitmap:mon "$@" --save-plan plan "$uri" want.qcow2
	stop_serving
	rm -f out.qcow2
	serve -r -f qcow2 other.qcow2
	expect_exit "$want" q2s-stream --plan plan "$uri" out.qcow2
	stop_serving
	judge_try "$want"
}

judge_try() {
	if [ "$1" = 0 ]; then
		assert_same_bytes want.qcow2 out.qcow2
	else
		expect_stderr 'source: its data in the .* at this guest offset is not what it was'
		[ ! -e out.qcow2 ] || fail "an image of a source that changed"
	fi
}

for with in --backing-name -b; do
	how=("$with" full.qcow2 -F qcow2)
	try 1 'write -P 6 1100k 512' "${how[@]}"     # data
	try 1 'write -P 6 9500k 512' "${how[@]}"     # zeros
	try 1 'write -P 6 6553600 512' "${how[@]}"   # dirty, and the same as in the base
	try 0 'write -P 6 3M 64k' "${how[@]}"        # clean
done
