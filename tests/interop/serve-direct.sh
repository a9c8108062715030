#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# nbdkit-q2s-plugin past the page cache: the same bytes as ever, all files of a chain, and a clear error
# where it cannot be.

. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/interop/serve-lib.sh"
requires HAVE_LIBNBD qemu-img nbdcopy

nbd_random=$Q2S_BUILD/tests/interop/nbd_random

# direct_files: how many files the server has open with O_DIRECT, and how many without, of those here.
direct_files() {
	local fd with=0 without=0

	for fd in /proc/"$server"/fd/*; do
		case $(readlink "$fd") in
		"$tmp"/*.qcow2 | "$tmp"/*.raw) ;;
		*) continue ;;
		esac
		if (($(awk '/^flags/ { print "0" $2 }' "/proc/$server/fdinfo/${fd##*/}") & 040000)); then
			with=$((with + 1))
		else
			without=$((without + 1))
		fi
	done
	echo "$with $without"
}

head -c 3000000 /dev/urandom >base.raw
q2s-create -q -o extended_l2=on,cluster_size=64k -b base.raw -F raw image.qcow2 4M
if ! serve -r image.qcow2 follow=any direct=on --run true 2>direct.err; then
	grep -q 'does not allow O_DIRECT' direct.err || fail "it says: $(cat direct.err)"
	skip "this file system does not allow O_DIRECT"
fi

server_start "$tmp/socket" -r image.qcow2 follow=any direct=on
assert_equal '2 0' "$(direct_files)" "files with and without O_DIRECT"
server_stop
server_start "$tmp/socket" -r image.qcow2 follow=any direct=off
assert_equal '0 2' "$(direct_files)" "files with and without O_DIRECT"
server_stop

seed=${Q2S_SEED:-1}
for options in extended_l2=on,cluster_size=64k cluster_size=512 cluster_size=64k; do
	rm image.qcow2
	q2s-create -q -o "$options" -b base.raw -F raw image.qcow2 4M
	qemu-img convert -f qcow2 -O raw image.qcow2 before.raw
	# shellcheck disable=SC2016
	serve image.qcow2 follow=any direct=on \
		--run "$nbd_random \"\$uri\" $((seed++)) ${Q2S_REQUESTS:-100} 4 before.raw after.raw" ||
		fail "requests to $options"
	qemu_same_content after.raw image.qcow2
	sound image.qcow2
	# shellcheck disable=SC2016
	serve -r image.qcow2 follow=any direct=on --run 'nbdcopy "$uri" got.raw'
	qemu_same_content got.raw after.raw raw raw
done

# An external data file, which begins empty.
qemu-img create -q -f qcow2 -o data_file=data.raw outside.qcow2 4M
truncate -s 4M before.raw
head -c 4M /dev/zero >before.raw
# shellcheck disable=SC2016
serve outside.qcow2 follow=any direct=on \
	--run "$nbd_random \"\$uri\" $((seed++)) ${Q2S_REQUESTS:-100} 4 before.raw after.raw" ||
	fail "requests to an external data file"
qemu_same_content after.raw outside.qcow2
sound outside.qcow2

expect_exit 1 serve image.qcow2 follow=any direct=perhaps --run true
expect_stderr 'perhaps'
