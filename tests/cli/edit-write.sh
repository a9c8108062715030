#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# q2s-edit write: guest writes by the command line.

. "$Q2S_SRC/tests/cli/lib.sh"

q2s-create -q -o extended_l2=on,cluster_size=128k image.qcow2 1M

# The bytes are those that q2s-create makes of the same SPECs, in the same clusters.
expect_exit 0 q2s-edit write image.qcow2 data@8k+4k:7,data@256k+64k:0xab data@512k+128k
expect_silence
q2s-create -q -o extended_l2=on,cluster_size=128k \
	-w data@8k+4k:7,data@256k+64k:0xab,data@512k+128k want.qcow2 1M
expect_exit 0 q2s-stream --compare -f qcow2 image.qcow2 want.qcow2
q2s-inspect map --output=json image.qcow2 | grep -o '"start": [0-9]*, "length": [0-9]*, .*"data": [a-z]*' |
	sed 's/"offset": [0-9]*, //' >got.map
q2s-inspect map --output=json want.qcow2 | grep -o '"start": [0-9]*, "length": [0-9]*, .*"data": [a-z]*' |
	sed 's/"offset": [0-9]*, //' >want.map
assert_same_bytes want.map got.map
expect_exit 0 q2s-inspect check image.qcow2

# Any byte; zeros, discards; the last of overlapping ranges wins; whole bytes of a file.
q2s-stream -O raw -f qcow2 image.qcow2 want.raw
expect_exit 0 q2s-edit write -q image.qcow2 data@1001+3:0x41 zero@8193+10 data@8195+1:0x42 \
	discard@512k+4k zero-alloc@256k+4k
[ ! -s stdout ] || fail "-q prints"
printf AAA | dd of=want.raw bs=1 seek=1001 conv=notrunc status=none
printf '\0\0B\0\0\0\0\0\0\0' | dd of=want.raw bs=1 seek=8193 conv=notrunc status=none
head -c 4k /dev/zero | dd of=want.raw bs=4k seek=128 conv=notrunc status=none
head -c 4k /dev/zero | dd of=want.raw bs=4k seek=64 conv=notrunc status=none
q2s-stream -O raw -f qcow2 image.qcow2 got.raw
assert_same_bytes want.raw got.raw
head -c 100001 /dev/urandom >bytes
expect_exit 0 q2s-edit write --from bytes --at 77777 image.qcow2
dd if=bytes of=want.raw bs=1M oflag=seek_bytes seek=77777 conv=notrunc status=none
rm got.raw
q2s-stream -O raw -f qcow2 image.qcow2 got.raw
assert_same_bytes want.raw got.raw
printf '# a comment\n zero@0+1M\n\ndata@0+1:0x21\n' >list
expect_exit 0 q2s-edit write --write-file list image.qcow2
{ printf '!'; head -c 1048575 /dev/zero; } >want.raw
rm got.raw
q2s-stream -O raw -f qcow2 image.qcow2 got.raw
assert_same_bytes want.raw got.raw
expect_exit 0 q2s-inspect check image.qcow2

# --dry-run tells it and does nothing.
cp image.qcow2 before.qcow2
expect_exit 0 q2s-edit write --dry-run image.qcow2 data@64k+4k:9
expect_stdout '^write 4096 at 0x[0-9a-f]+$'
expect_stdout '^flush$'
assert_same_bytes before.qcow2 image.qcow2

# A backing file is read, not written, and only if it may be opened.
q2s-create -q -w data@0+1M:5 base.qcow2 1M
cp base.qcow2 base.before
q2s-create -q -b base.qcow2 -F qcow2 over.qcow2
expect_exit 1 q2s-edit write over.qcow2 data@1000+10:0x61
expect_stderr '^q2s-edit: .*--follow'
expect_exit 0 q2s-edit write --follow=beside over.qcow2 data@1000+10:0x61 discard@64k+64k
q2s-stream -O raw -f qcow2 base.qcow2 want.raw 2>/dev/null || { rm want.raw; q2s-stream -O raw -f qcow2 base.qcow2 want.raw; }
printf aaaaaaaaaa | dd of=want.raw bs=1 seek=1000 conv=notrunc status=none
head -c 64k /dev/zero | dd of=want.raw bs=64k seek=1 conv=notrunc status=none
q2s-stream -O raw -f qcow2 --follow beside over.qcow2 over.raw
assert_same_bytes want.raw over.raw
assert_same_bytes base.before base.qcow2

expect_exit 0 q2s-edit write --dry-run --follow=beside over.qcow2 data@70k+10:0x61
expect_stdout '^write '

# The same with an external data file, which is not written to either.
q2s-create -q -o data_file=outside.raw outside.qcow2 1M
cp outside.raw outside.before
cp outside.qcow2 before.qcow2
expect_exit 0 q2s-edit write --dry-run --follow=beside outside.qcow2 data@64k+4k:9 zero@64k+1k
expect_stdout '^.*outside.raw: write 65536 at 0x10000$'
expect_stdout '^.*outside.raw: flush$'
expect_stdout '^write '
assert_same_bytes outside.before outside.raw
assert_same_bytes before.qcow2 outside.qcow2
expect_exit 0 q2s-edit write --follow=beside outside.qcow2 data@64k+4k:9
expect_exit 1 cmp -s outside.before outside.raw
expect_exit 0 q2s-inspect check outside.qcow2

# What is wrong is said before anything is done.
refused() {
	local what=$1

	shift
	cp image.qcow2 before.qcow2
	expect_exit 1 q2s-edit "$@"
	expect_stderr "^q2s-edit: .*$what"
	assert_equal 1 "$(wc -l <stderr)" "lines on stderr"
	assert_same_bytes before.qcow2 image.qcow2
}
refused 'a verb is missing'
refused "unknown verb 'paint'" paint image.qcow2
refused 'FILE is missing' write
refused 'SPEC is missing' write image.qcow2
refused "'data@0' is not KIND" write image.qcow2 data@0
refused 'ends behind the disk' write image.qcow2 data@0+4k:1 data@1M+1:1
refused 'no compressed' write image.qcow2 compressed@0+128k
refused 'need each other' write --from bytes image.qcow2
refused 'exclude each other' write --from bytes --at 0 image.qcow2 zero@0+1
refused 'end behind the disk' write --from bytes --at 1M image.qcow2
refused 'same file' write --from image.qcow2 --at 0 image.qcow2
refused 'nothing: .*No such file' write --from nothing --at 0 image.qcow2
refused 'unknown option --fast' write --fast image.qcow2 zero@0+1
refused 'must be none, beside or any' write --follow=all image.qcow2 zero@0+1
expect_exit 1 q2s-edit write want.raw zero@0+1
expect_stderr '^q2s-edit: want.raw: '
expect_exit 0 q2s-edit --help
expect_exit 0 q2s-edit write --help
expect_exit 0 q2s-edit --version
