#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# NBD exports as SOURCE, served by nbdkit and qemu-nbd.

. "$Q2S_SRC/tests/cli/lib.sh"
requires HAVE_LIBNBD nbdkit qemu-nbd qemu-img qemu-io

raw=disk.raw
truncate -s 40M "$raw"
seq 1 500000 | dd of="$raw" conv=notrunc bs=1M seek=1 status=none
head -c 700001 "$(command -v qemu-img)" | dd of="$raw" conv=notrunc bs=1M seek=20 status=none
q2s-stream "$raw" want.qcow2

# served SERVER...: the image that comes from nbdkit with these arguments.
served() {
	# shellcheck disable=SC2016 # nbdkit's shell knows $uri
	nbdkit -U - "$@" --run 'q2s-stream "$uri" got.qcow2' || fail "nbdkit $*"
	assert_same_bytes want.qcow2 got.qcow2
}

served file "$raw"
served --filter=noextents file "$raw"
served --filter=noparallel file "$raw"
served --filter=multi-conn file "$raw" multi-conn-mode=disable
served --filter=blocksize-policy file "$raw" blocksize-minimum=4096 blocksize-preferred=4096 \
	blocksize-maximum=64K blocksize-error-policy=error
served -e name file "$raw"

# Holes are not read, data is read once; while one answer is on its way, others are asked for.
nbdkit -U - --filter=log --filter=delay file "$raw" logfile=log rdelay=5ms \
	--run 'q2s-stream -O raw "$uri" got.raw'
assert_same_bytes "$raw" got.raw
flying=$(awk '/ Read id=/ { n++; if (n > most) most = n }
	/\.\.\.Read id=/ { n-- } END { print most + 0 }' log)
bytes=0
while read -r count; do
	bytes=$((bytes + count))
done < <(sed -n 's/.* Read id=.* count=\(0x[0-9a-f]*\).*/\1/p' log)
[ "$flying" -ge 4 ] || fail "no more than $flying requests at a time: $(head -n 20 log)"
allocated=$((512 * $(stat -c %b "$raw")))
[ "$bytes" -gt 3000000 ] && [ "$bytes" -le "$allocated" ] ||
	fail "$bytes bytes were read of $allocated"

# qemu-nbd: a raw disk, and the guest's view of a qcow2 image with a backing file.
qemu-img create -q -f qcow2 -b "$raw" -F raw top.qcow2
qemu-io -c 'write -P 9 3M 1M' -c 'write -z 20M 64k' top.qcow2 >/dev/null
served_by_qemu() {
	local pid

	qemu-nbd -r -t -k "$tmp/socket" -f "$1" "$2" --pid-file=pid &
	pid=$!
	cleanup_fn sh -c "kill $pid 2>/dev/null"
	for ((i = 0; i < 500; i++)); do
		[ ! -s pid ] || break
		sleep 0.02
	done
	expect_exit 0 q2s-stream --compare "nbd+unix:///?socket=$tmp/socket" "$3"
	expect_exit 0 q2s-stream "nbd+unix:///?socket=$tmp/socket" got.qcow2
	# what differs from an export, which the image refers to by the same URI
	cp "$3" changed.raw
	printf changed | dd of=changed.raw bs=1 seek=1234567 conv=notrunc status=none
	expect_exit 0 q2s-stream -b "nbd+unix:///?socket=$tmp/socket" -F raw changed.raw delta.qcow2
	qemu_check_clean delta.qcow2
	qemu_same_content changed.raw delta.qcow2
	kill "$pid"
	wait "$pid" || true
	rm -f pid socket
	qemu_check_clean got.qcow2
	qemu_same_content "$3" got.qcow2
}
served_by_qemu raw "$raw" "$raw"
qemu-img convert -O raw top.qcow2 top.raw
served_by_qemu qcow2 top.qcow2 top.raw

# What fails: the URI is named, nothing is written.
expect_exit 1 q2s-stream "nbd+unix:///?socket=$tmp/none" none.qcow2
expect_stderr '^q2s-stream: nbd\+unix:///\?socket=.*/none: NBD server: cannot connect: '
expect_exit 1 q2s-stream 'nbd+unix://' none.qcow2
expect_exit 1 q2s-stream -f vmdk "nbd+unix:///?socket=$tmp/none" none.qcow2
expect_stderr 'an NBD export is read as the raw disk that it shows'
expect_exit 1 q2s-stream -d "nbd+unix:///?socket=$tmp/none" none.qcow2
expect_stderr '^q2s-stream: --data-file needs a SOURCE that is a file'
expect_exit 1 q2s-stream -s 1 "nbd+unix:///?socket=$tmp/none" none.qcow2
expect_stderr 'needs a qcow2 source'
# shellcheck disable=SC2016
nbdkit -U - --filter=error file "$raw" error-pread=EIO error-pread-rate=30% --run '
	q2s-stream "$uri" none.qcow2; echo $? >status' 2>said
assert_equal 1 "$(cat status)" "exit code"
grep -q 'NBD server: cannot read .* at guest offset 0x.*: Input/output error' said ||
	fail "another message: $(cat said)"
[ ! -e none.qcow2 ] || fail "an image was left behind"
