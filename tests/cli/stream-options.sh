#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The command line: each mistake is one line on stderr that names the wrong word and where to look,
# exit 1, and nothing is written.

. "$Q2S_SRC/tests/cli/lib.sh"

truncate -s 1M disk

# wrong WORD ARG...: a usage error about WORD.
wrong() {
	local word=$1

	shift
	expect_exit 1 q2s-stream "$@"
	assert_equal 1 "$(wc -l <stderr)" "lines of stderr of: $*"
	[ ! -s stdout ] || fail "something was written: $*"
	grep -Fq -- "$word" stderr || fail "'$word' is not named: $*: $(cat stderr)"
	expect_stderr '^q2s-stream: .*; see q2s-stream --help$'
	assert_equal disk "$(ls --hide=std*)" "what is there after: $*"
}

wrong SOURCE
wrong third disk second third
wrong --bogus --bogus disk
wrong -y -y disk
wrong -f disk -f
wrong --cluster-size disk --cluster-size
wrong --measure=3 --measure=3 disk
wrong 1000 -c 1000 disk
wrong 1x -c 1x disk
wrong 4194304 -c 4M disk
wrong cluster_size -c 256 disk
wrong 3 -r 3 disk
wrong refcount_bits -r 128 disk
wrong foo -o foo=1 disk
wrong cluster_size -o cluster_size disk
wrong extended_l2 -o extended_l2=maybe disk
wrong extended_l2 -o extended_l2=on,cluster_size=4k disk
wrong refcount_bits -o compat=v2,refcount_bits=8 disk
wrong size -o size=-1 disk
wrong size -o size=512k disk
wrong vdi -O vdi disk
wrong raw -O raw -c 4096 disk
wrong raw -O raw -o compat=v2 disk
wrong raw -O raw -d disk
wrong data_file -o data_file=other disk
wrong raw -R -f qcow2 disk
wrong elsewhere --follow=elsewhere disk
wrong abc -j abc disk
wrong 0 -j 0 disk
wrong 1025 -j 1025 disk
wrong dots --progress=dots disk
wrong xml --measure --output=xml disk
wrong --output --output=json disk
wrong --snapshot -s first disk
wrong 3/2 --part 3/2 disk
wrong 12 --range 12 disk
wrong lz4 --compress=lz4 disk

# The value of -z may stand by itself, but is no file then; what is no value is SOURCE.
printf %01000000d 0 >disk
for spelling in -zzstd:1 '-z zstd:1' '--compress zstd:1' --compress=zstd:1; do
	# shellcheck disable=SC2086 # two words
	q2s-stream $spelling disk >"out$spelling"
	assert_same_bytes out-zzstd:1 "out$spelling"
done
cp disk zlib
q2s-stream -z ./zlib >zlib.qcow2
q2s-stream -z -- zlib | cmp - zlib.qcow2
expect_exit 1 q2s-stream -z zlib
expect_stderr 'SOURCE is missing'
# The level of one type says nothing about another.
q2s-stream -zzstd:19 -zzlib disk | cmp - zlib.qcow2
rm out* zlib*

# A name that is hostile to terminals is shown, not played.
expect_exit 1 q2s-stream disk -o $'\e[2Jfoo=1'
expect_stderr '\\x1b\[2Jfoo'

expect_exit 0 q2s-stream --help
expect_silence
expect_stdout '^Usage: q2s-stream '
expect_exit 0 q2s-stream --version
expect_stdout '^q2s-stream [0-9]'
expect_stdout 'zlib'
expect_exit 0 q2s-stream -o help
expect_stdout 'cluster_size.*64'
expect_exit 1 sh -c 'q2s-stream --help >/dev/full'
expect_stderr 'No space left on device'

# Every long option of --help is one, and has an entry in the manual.
for option in $(q2s-stream --help | grep -oE -- '--[a-z-]+' | sort -u); do
	grep -Fq -- "${option//-/\\-}" "$Q2S_SRC/doc/q2s-stream.1" ||
		fail "doc/q2s-stream.1 does not know $option"
done
