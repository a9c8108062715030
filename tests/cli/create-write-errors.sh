#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A wrong -w is refused before anything is written: the message names the SPEC and what is wrong.

. "$Q2S_SRC/tests/cli/lib.sh"

# refused PATTERN SPEC [ARG...]
refused() {
	local pattern=$1 spec=$2

	shift 2
	expect_exit 1 q2s-create -w "$spec" "$@" new 1M
	assert_equal 1 "$(wc -l <stderr)" "number of lines"
	expect_stderr "^q2s-create: --write: .*$pattern.*; see q2s-create --help\$"
	[ ! -e new ] || fail "an image was left behind"
	[ ! -e data ] || fail "a data file was left behind"
}

refused "'' is not KIND@OFFSET" ''
refused "'data' is not KIND@OFFSET" data
refused "'data@0' is not KIND@OFFSET" data@0
refused "'zero@64k' is not KIND@OFFSET" data@0+64k,zero@64k
refused "'' is not KIND@OFFSET" data@0+64k,
refused "'datum@0.64k' has no known kind" datum@0+64k
refused "'data@x.64k' has no valid offset" data@x+64k
refused "'data@0.64q' has no valid length" data@0+64q
refused "'data@-1.64k' has no valid offset" data@-1+64k
refused "'data@0.0' is empty" data@0+0
refused "'data@64k.0xffffffffffffffff' ends beyond 64 bits" data@64k+0xffffffffffffffff
refused "'data@0.64k:' has no valid seed" data@0+64k:
refused "'data@0.64k:x' has no valid seed" data@0+64k:x
refused "'data@0.64k:1:2' has no valid seed" data@0+64k:1:2
refused "'zero@0.64k:1' takes nothing after ':'" zero@0+64k:1
refused "'discard@0.64k:' takes nothing" discard@0+64k:

# Where it lies
refused "'data@0.2M' leaves the disk of 1048576 bytes" data@0+2M
refused "'data@1M.64k' leaves the disk" data@1M+64k
refused "'data@1.64k' is finer .*clusters of 65536 bytes" data@1+64k
refused "'zero@0.4k' is finer .*clusters of 65536 bytes" zero@0+4k
refused "'zero@0.1k' is finer .*subclusters of 2048 bytes" zero@0+1k -o extended_l2=on
refused "'data@512.2k' is finer .*subclusters of 2048 bytes" data@512+2k -o extended_l2=on
refused "'compressed@0.2k' is finer .* clusters of 65536 bytes" compressed@0+2k -o extended_l2=on
refused "'compressed@0.128k' is overridden within a cluster of 65536" \
	compressed@0+128k,zero@64k+2k -o extended_l2=on

# What this image cannot hold
refused "'zero-alloc@0.64k' needs compat=v3" zero-alloc@0+64k -o compat=v2
refused "'zero@0.64k' needs compat=v3" zero@0+64k -o compat=v2 -u -b base -F raw
refused "'compressed@0.64k' contradicts data_file" compressed@0+64k -o data_file=data
refused "'discard@0.64k' contradicts data_file_raw" discard@0+64k \
	-o data_file=data,data_file_raw=on

# From a file, with the line.
printf '# fine\ndata@0+64k\n\nzero@0+1 # not fine\n' >specs
expect_exit 1 q2s-create --write-file specs new 1M
expect_stderr "^q2s-create: specs, line 4: 'zero@0.1' is finer"
printf 'data@0+64k\nnonsense\n' >specs
expect_exit 1 q2s-create --write-file=specs new 1M
expect_stderr "^q2s-create: specs, line 2: 'nonsense' is not KIND@OFFSET"
expect_exit 1 q2s-create --write-file nowhere new 1M
expect_stderr '^q2s-create: nowhere: .*No such file'
expect_exit 1 q2s-create --write-file . new 1M
expect_stderr '^q2s-create: .: .*Is a directory'
[ ! -e new ] || fail "an image was left behind"

# A last cluster that the disk's end cuts may be named as far as it goes; a line may be endless.
q2s-create -q -w data@64k+512,zero@0+64k one 66048
awk 'BEGIN { for (i = 0; i < 20000; i++) print "data@" i % 1000 * 512 "+512:" i }' >many
q2s-create -q -o cluster_size=512 --write-file many two 1M
tail -n 1000 many | sort -R >shuffled
q2s-create -q -o cluster_size=512 --write-file shuffled three 1M
assert_same_bytes two three
