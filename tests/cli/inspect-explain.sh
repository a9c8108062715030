#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `q2s-inspect explain` and `hex` on damage and at the edges.
. "$Q2S_SRC/tests/cli/lib.sh"
. "$Q2S_SRC/tests/cli/bytes.sh"
requires jq

expect_exit 1 q2s-inspect explain disk.qcow2
expect_stderr 'OFFSET or FILE is missing'
q2s-create -q disk.qcow2 1G
expect_exit 1 q2s-inspect explain nonsense disk.qcow2
expect_stderr "OFFSET 'nonsense'"
expect_exit 1 q2s-inspect explain 1G disk.qcow2
expect_stderr '^q2s-inspect: disk.qcow2: OFFSET: 0x40000000 is not on the disk'
expect_exit 1 q2s-inspect explain --host 1G disk.qcow2
expect_stderr 'past the end of the file'
expect_exit 0 q2s-inspect explain 1023M disk.qcow2
expect_stdout '^Guest offset 0x3ff00000: zero, as there is no backing file$'

# A compressed entry as the format's document has it: x = 54, one more sector, 733 bytes.
l1=$(q2s-inspect info --output=json disk.qcow2 | jq .q2s.header.l1_table_offset)
truncate -s $((0x60000)) disk.qcow2
poke disk.qcow2 "$l1" 8000000000040000
entries=(4040000000050123 8000000000050200 0000000000000001 8000000000050000 80000000000f0000)
for i in "${!entries[@]}"; do
	poke disk.qcow2 $((0x40000 + 8 * i)) "${entries[i]}"
done
expect_exit 0 q2s-inspect explain 5 disk.qcow2
expect_stdout 'x = 62 - \(cluster_bits - 8\) = 62 - \(16 - 8\) = 54$'
expect_stdout 'bits 0\.\.53 *= 0x50123 '
expect_stdout 'bits 54\.\.61 *= 0x1 '
expect_stdout '\(1 \+ 1\) \* 512 - 291 = 733$'
expect_stdout 'wrong: .*' # zeros are no deflate stream

# Damage ends the way: named, in its place, and not a success.
for i in 1 4; do
	expect_exit 1 q2s-inspect explain $((i * 65536)) disk.qcow2
	expect_stderr "guest offset 0x${i}0000 cannot be read"
	expect_stdout "^Guest offset 0x${i}0000: invalid"
	expect_exit 1 q2s-inspect explain --output=json $((i * 65536)) disk.qcow2
	assert_equal invalid "$(jq -r .result.state stdout)" 'state'
done
expect_exit 1 q2s-inspect explain 64k disk.qcow2
expect_stdout 'wrong: .*L2 entry at host offset 0x40008: host offset not cluster-aligned'
expect_exit 0 q2s-inspect explain 128k disk.qcow2
expect_stdout '^Guest offset 0x20000: zero$'
expect_exit 0 q2s-inspect explain 200000 disk.qcow2
expect_stdout '0x50000 \+ 3392 = 0x50d40$'

# Nothing owns a cluster that nothing refers to; its count is shown all the same.
truncate -s $((0x90000)) disk.qcow2
expect_exit 0 q2s-inspect explain --host 0x80000 disk.qcow2
expect_stdout 'No structure and no guest data'
assert_equal 0 "$(q2s-inspect explain --host --output=json 0x80000 disk.qcow2 | jq .owners)" owners

# A header that is refused, and still has a geometry: the way back and the bytes can be shown.
cp disk.qcow2 future.qcow2
poke future.qcow2 72 0000000000000100
expect_exit 1 q2s-inspect explain 0 future.qcow2
expect_stderr 'incompatible_features'
expect_exit 0 q2s-inspect explain --host 0x40000 future.qcow2
expect_exit 1 q2s-inspect hex --output=json future.qcow2
expect_stderr 'incompatible_features'
jq -e '(reduce .ranges[] as $r (0; if . == $r.offset then . + $r.length else error("gap") end)) ==
	."file-size"' stdout >found || fail 'the ranges of a refused image are no partition'
poke future.qcow2 20 000000ff
expect_exit 1 q2s-inspect hex future.qcow2
expect_exit 1 q2s-inspect explain --host 0 future.qcow2
