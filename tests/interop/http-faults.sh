#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Servers that break off, are slow or busy, or whose file changes: what passes is tried again, the rest is
# an error that says what it is, and leaves nothing behind.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img
. "$Q2S_SRC/tests/interop/http-lib.sh"
server='' # by serve

mkdir www
q2s-create -q -w data@0+56M:1 base.qcow2 64M
qemu-img convert -O raw base.qcow2 disk.raw
qemu-img convert -O qcow2 disk.raw www/disk.qcow2
cp disk.raw www/disk.raw
serve server
touch server/log

# what passes
for fault in drop busy slow signed; do
	for image in disk.qcow2 disk.raw; do
		q2s-stream "$server/$fault/$image" out.qcow2
		qemu_check_clean out.qcow2
		qemu_same_content disk.raw out.qcow2
	done
done

# fails FAULT MESSAGE [OPTION...]: so does q2s-stream, on a file, on a pipe, and over an image.
fails() {
	local fault=$1 message=$2

	shift 2
	rm -f new.qcow2
	cp base.qcow2 old.qcow2
	for dest in new.qcow2 old.qcow2; do
		expect_exit 1 q2s-stream "$@" "$server/$fault/disk.qcow2?$RANDOM" $dest
		expect_stderr "$message"
	done
	expect_exit 1 q2s-stream "$@" "$server/$fault/disk.qcow2?$RANDOM" -
	[ ! -e new.qcow2 ] || fail "an image was left behind"
	assert_same_bytes base.qcow2 old.qcow2
	assert_equal '' "$(find . -name '.*.q2s')" 'temporary file'
}
fails busy-always 'answers 503'
fails 416 '\(416\)'
fails etag 'its ETag changed|it has changed'
fails weak-etag 'its ETag changed'
fails grows 'its size changed'
fails shifted 'other bytes than those asked for'
fails no-total 'does not say which bytes'
fails gzip 'compresses what it sends'
fails short 'bytes remaining|sends fewer'
fails whole-drop 'bytes remaining'
fails whole-drop 'bytes remaining' -O raw
fails loop 'redirects too often'
fails file 'no plain HTTP URL'
fails plain/nowhere 'answers 404'

# the same size, the same name, written to meanwhile; a server that only knows times
(
	sleep 1
	touch -d '2001-01-01' www/disk.qcow2
) &
expect_exit 1 q2s-stream --limit-rate 16M "$server/no-etag/disk.qcow2" new.qcow2
expect_stderr 'its modification time changed'
[ ! -e new.qcow2 ] || fail "an image was left behind"

# a server that goes away
mkdir alone
python3 "$Q2S_SRC/tests/interop/http_server.py" www alone &
gone=$!
for ((i = 0; i < 300; i++)); do
	[ ! -e alone/port ] || break
	sleep 0.1
done
(
	sleep 1
	kill $gone
) &
expect_exit 1 q2s-stream --limit-rate 16M "http://127.0.0.1:$(<alone/port)/plain/disk.qcow2" new.qcow2
expect_stderr 'connect|closed|reset'
[ ! -e new.qcow2 ] || fail "an image was left behind"
