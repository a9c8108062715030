#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A spec that is wrong is an error that names the line and says why, and makes no image.

. "$Q2S_SRC/tests/cli/lib.sh"

# wrong LINE REGEX: the spec on stdin fails at that line (0: at its end), for that reason.
wrong() {
	cat >spec
	expect_exit 1 "$Q2S_BUILD/tests/hostile/make_image" spec image
	expect_stderr "^make_image: spec$([ "$1" = 0 ] || echo ":$1"): .*$2"
	[ ! -e image ] || fail "an image was made: $(cat spec)"
}

wrong 2 "'date' is not a statement" <<<$'data 0\ndate 1'
wrong 1 "'size' is not KEY=VALUE" <<<'image size'
wrong 1 "unknown image option 'colour'" <<<'image colour=1'
wrong 1 '48 is not a power of two' <<<'image cluster_size=48'
wrong 1 "'x' behind a number" <<<'image size=1x'
wrong 2 "'image' comes first" <<<$'data 0\nimage size=1M'
wrong 2 'cluster_bits' <<<$'image cluster_size=64\ndata 0'
wrong 1 'is missing' <<<'share 1'
wrong 1 'the L1 table has no entry' <<<'data 1G'
wrong 1 'more than [0-9]* clusters' <<<'leak 16M'
wrong 3 'host cluster 5 is taken' <<<$'data 0\nat 5\ndata 1'
wrong 2 'zero flag' <<<$'image version=2\nzero 0'
wrong 2 "comes before the damage" <<<$'set header.version = 4\ndata 0'
wrong 1 "header has no field 'colour'" <<<'set header.colour = 1'
wrong 1 "nothing is called 'heap'" <<<'set heap = 1'
wrong 1 "l2 needs 2 indices" <<<$'set l2[0] = 1'
wrong 1 "l1 has no number 9" <<<'set l1[9] = 1'
wrong 1 "']' is missing" <<<'set l1[0 = 1'
wrong 1 "'=' is missing" <<<'set l1[0] 1'
wrong 1 "'x' behind the value" <<<'set l1[0] = 1 x'
wrong 1 'a number is missing' <<<'set l1[0] = '
wrong 1 'division by 0' <<<'set l1[0] = 1 / 0'
wrong 1 'does not fit into the field' <<<'set header.version = 0x100000000'
wrong 1 "no structure is called 'moon'" <<<'set l1[0] = @moon'
wrong 1 'is past the end of the image' <<<'set u64[1G] = 1'
wrong 1 'is past the end of the image' <<<'bytes 1G 1'
wrong 1 "only 'set' can be repeated" <<<'repeat 3 data 0'
wrong 2 'an image breaks one rule' <<<$'breaks a header.size\nbreaks b header.size'
wrong 1 'a rule and a place are missing' <<<'breaks a'
wrong 2 'neither zeros nor ones' <<<$'data 0\nbitmap a 64k 0 twos'
wrong 1 'the line is too long' <<<"extension 1$(printf ' %0.s0' {1..3000})"
wrong 0 'snapshot' < <(echo image cluster_size=512; for i in {1..20}; do
	echo "snapshot a-name-that-is-not-short-$i"; done)
expect_exit 1 "$Q2S_BUILD/tests/hostile/make_image" nowhere image
