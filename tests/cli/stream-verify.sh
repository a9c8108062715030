#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# --verify: DEST appears only if the bytes of SOURCE have the digest that was named.

. "$Q2S_SRC/tests/cli/lib.sh"
requires HAVE_LIBGCRYPT sha256sum

seq 1 300000 >disk.raw
truncate -s 3M disk.raw
q2s-stream disk.raw disk.qcow2
for file in disk.raw disk.qcow2; do
	sum=$(sha256sum <$file)
	sum=${sum%% *}
	good=sha256:$sum
	bad=sha256:${sum:0:63}$([ "${sum:63}" = 0 ] && echo 1 || echo 0)
	for format in qcow2 raw; do
		q2s-stream -O $format $file want
		q2s-stream -O $format --verify "$good" $file got
		assert_same_bytes want got
		q2s-stream -O $format --verify "${good^^}" - <$file >got
		assert_same_bytes want got
		# shellcheck disable=SC2002 # a pipe is meant
		cat $file | q2s-stream -O $format --verify "$good" - got
		q2s-stream --compare want got
		mkfifo pipe
		cat $file >pipe &
		q2s-stream -O $format --verify "$good" pipe >got
		q2s-stream --compare want got
		rm pipe got

		expect_exit 1 q2s-stream -O $format --verify "$bad" $file got
		expect_stderr "its sha256 is another one: $sum"
		# shellcheck disable=SC2002
		expect_exit 1 q2s-stream -O $format --verify "$bad" - got < <(cat $file)
		expect_stderr "its sha256 is another one: $sum"
		expect_exit 1 q2s-stream -O $format --verify "$good" - got < <(cat $file; echo)
		expect_stderr 'its sha256 is another one'
		expect_exit 1 q2s-stream -O $format --verify "$good" - got < <(head -c 100000 $file)
		[ ! -e got ] || fail "an image was left behind"
	done
done

# what was there stays
cp disk.qcow2 old.qcow2
expect_exit 1 q2s-stream --verify "$bad" disk.raw old.qcow2
assert_same_bytes disk.qcow2 old.qcow2

# the bytes of the file, and not those of its guest disk, nor of BASE
q2s-stream -b disk.qcow2 -F qcow2 --verify "sha256:$(sha256sum <disk.raw | cut -d' ' -f1)" disk.raw diff.qcow2

for wrong in sha256 sha256: sha256:12 nosuch:00 "sha256:${sum:1}g" "sha256:${sum}00"; do
	expect_exit 1 q2s-stream --verify "$wrong" disk.raw no.qcow2
	[ ! -e no.qcow2 ] || fail "an image was left behind"
done
expect_exit 1 q2s-stream --compare --verify "$good" disk.raw disk.qcow2
expect_stderr '--verify is about the bytes of one SOURCE'
expect_exit 1 q2s-stream --layers disk.qcow2 --verify "$good" no.qcow2
expect_stderr '--verify is about the bytes of one SOURCE'
