#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Standard input as SOURCE: a pipe is spooled, a file is used as what it is; a wrong size is an
# error, and nothing is left behind.

. "$Q2S_SRC/tests/cli/lib.sh"

mkdir spool
raw=disk.raw
truncate -s 9M "$raw"
seq 1 300000 | dd of="$raw" conv=notrunc bs=1M seek=1 status=none
seq 1 200000 | dd of="$raw" conv=notrunc bs=1000 seek=5000 status=none
q2s-stream "$raw" want.qcow2

# A pipe gives the same image as the file: the plan sees the same disk.
cat "$raw" | q2s-stream - >got.qcow2
assert_same_bytes want.qcow2 got.qcow2
cat "$raw" | q2s-stream -f raw --size 9M --spool spool - >got.qcow2
assert_same_bytes want.qcow2 got.qcow2
cat "$raw" | q2s-stream -O raw - got.raw
assert_same_bytes "$raw" got.raw
q2s-stream - got.qcow2 <"$raw"
assert_same_bytes want.qcow2 got.qcow2
q2s-stream --size 9437184 - <"$raw" | cat >got.qcow2
assert_same_bytes want.qcow2 got.qcow2

# More than the memory that is set aside: 40 MiB of text, and a sparse end.
seq 1 5500000 >large.raw
truncate -s 300M large.raw
cat large.raw | q2s-stream --spool spool -O raw - got.raw
assert_same_bytes large.raw got.raw
cat large.raw | q2s-stream -z --spool spool - got.qcow2
q2s-stream -O raw got.qcow2 got.raw
assert_same_bytes large.raw got.raw
rm large.raw got.raw

# A file that has been read from is not where it begins.
tail -c +513 "$raw" >rest.raw
{
	dd bs=512 count=1 of=head.raw status=none
	q2s-stream -O raw - got.raw
} <"$raw"
truncate -s "$(stat -c %s got.raw)" rest.raw # rounded up to 512
assert_same_bytes rest.raw got.raw

# Formats: qcow2 is found out as in a file, and believed when it is named.
cat want.qcow2 | q2s-stream -O raw - got.raw
assert_same_bytes "$raw" got.raw
cat want.qcow2 | q2s-stream -f qcow2 --spool spool -O raw - got.raw
assert_same_bytes "$raw" got.raw
q2s-stream -O raw - got.raw <want.qcow2
assert_same_bytes "$raw" got.raw
cat want.qcow2 | q2s-stream -f raw -O raw - got.raw
truncate -s "$(stat -c %s got.raw)" want.qcow2
assert_same_bytes want.qcow2 got.raw
cat want.qcow2 | expect_exit 0 q2s-stream --size "$(stat -c %s want.qcow2)" --measure -
expect_exit 1 q2s-stream -f qcow2 - none.qcow2 < <(cat "$raw")
expect_stderr '^q2s-stream: standard input: '
printf 'QFI' | q2s-stream -O raw - got.raw
assert_same_bytes <(printf 'QFI'; head -c 509 /dev/zero) got.raw
: | q2s-stream - got.qcow2
[ "$(stat -c %s got.qcow2)" -gt 0 ] || fail "no image of an empty disk"

# One image feeds the next.
q2s-stream "$raw" | q2s-stream -f qcow2 -c 4096 - | q2s-stream -O raw - got.raw
assert_same_bytes "$raw" got.raw

# Sizes that are not kept: nothing is written.
expect_exit 1 q2s-stream --size 8M - none.qcow2 < <(cat "$raw")
expect_stderr '^q2s-stream: standard input: stream: goes on behind the 8388608 bytes '
expect_exit 1 q2s-stream --size 10M - none.qcow2 < <(cat "$raw")
expect_stderr 'ends after 9437184 of the 10485760 bytes '
expect_exit 1 q2s-stream --size 10M - none.qcow2 <"$raw"
expect_stderr 'holds 9437184 bytes, not 10485760'
expect_exit 1 q2s-stream --size 1x - none.qcow2 <"$raw"
expect_stderr '^q2s-stream: --size: '

# What cannot be.
expect_exit 1 q2s-stream --size 1M "$raw" none.qcow2
expect_stderr 'raw data on standard input, .*; see q2s-stream --help$'
expect_exit 1 q2s-stream --spool none -z - none.qcow2 < <(cat "$raw")
expect_stderr '^q2s-stream: --spool none: '
expect_exit 1 q2s-stream -d - none.qcow2 < <(cat "$raw")
expect_stderr '^q2s-stream: --data-file needs a SOURCE that is a file'
expect_exit 1 q2s-stream -f nosuch - none.qcow2 < <(cat "$raw")
expect_stderr "'nosuch' is not a format that can be read; known: raw, qcow2, bochs"
expect_exit 1 q2s-stream -s 1 - none.qcow2 < <(cat "$raw")
expect_stderr 'snapshot'
expect_exit 1 q2s-stream --spool /nonexistent --digest sha256 - none.qcow2 < <(seq 1 9000000)
expect_stderr '^q2s-stream: /nonexistent: spool: a temporary file cannot be made here'
expect_exit 1 q2s-stream - none.qcow2 <&-
expect_stderr 'standard input'
expect_exit 1 q2s-stream -O raw - "$raw" <"$raw"
expect_stderr 'the same file'
expect_exit 1 q2s-stream - none.qcow2 <.
expect_stderr '^q2s-stream: standard input: '
[ ! -e none.qcow2 ] || fail "an image was left behind"
assert_equal '' "$(ls spool)" "the spool's folder"
