#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An encrypted image by ourselves alone: made, read back with its key, and with no other.

. "$Q2S_SRC/tests/cli/lib.sh"
requires HAVE_LIBGCRYPT

luks=encrypt.format=luks,encrypt.iter-time=0
writes='data@64k+192k:7,zero@1M+64k,data@2M+64k:0x55'

printf secret >key
printf other >wrong
q2s-create -q -w "$writes" plain 3M
q2s-create -q --key-file key -o "$luks" -w "$writes" image 3M
expect_exit 0 q2s-stream --compare --key-file key image plain
q2s-stream --key-file key image copy
expect_exit 0 q2s-stream --compare copy plain
expect_exit 0 q2s-inspect check image

# Nothing of the guest's lies in it as it is.
head -c 512 /dev/zero | tr '\0' '\125' >line
[ "$(LC_ALL=C grep -c -a -F -f line plain)" -gt 0 ]
[ "$(LC_ALL=C grep -c -a -F -f line image)" = 0 ] || fail 'guest data is not encrypted'

for argument in '' --key-file=wrong --key-file=/dev/null; do
	# shellcheck disable=SC2086 # no argument when empty
	expect_exit 1 q2s-stream $argument image out
	expect_stderr 'encrypted by LUKS, and there is no key .*; give --key-file|LUKS header at host offset .*: the key is wrong'
	[ ! -e out ] || fail 'a failure left an output behind'
done

# What two layers share with one key, and a key from a pipe.
q2s-create -q --key-file <(cat key) -o "$luks" -b image -F qcow2 -u -w 'data@0+64k:1' top 3M
q2s-create -q -b plain -F qcow2 -w 'data@0+64k:1' plain-top
expect_exit 0 q2s-stream --compare -f qcow2 -F qcow2 --key-file <(cat key) top plain-top

# Of a cluster with one subcluster of data the rest is zero as it lies, also down a pipe, where it could
# be taken from the disk: encrypted zeros would be other bytes than a file gets.
mkfifo fifo
cat fifo >sealed &
q2s-create -q --key-file key -o "$luks,extended_l2=on" -w 'data@0+2k:1' fifo 64k
wait $!
assert_same_bytes <(tail -c 62K sealed) <(head -c 62K /dev/zero)
[ "$(tail -c 64K sealed | head -c 2K | tr -d '\0' | wc -c)" -gt 1900 ] || fail 'no data where it belongs'
