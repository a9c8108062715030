#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The command line of q2s-create: help, version, usage errors, and the line that it prints.

. "$Q2S_SRC/tests/cli/lib.sh"

expect_exit 0 q2s-create --help
expect_stdout '^Usage: q2s-create '
expect_silence
expect_exit 0 q2s-create --version
expect_stdout '^q2s-create [0-9]+\.[0-9]+\.[0-9]+$'
expect_stdout 'zlib .*zstd .*jansson .*libnbd'
for list in help '?' cluster_size=4k,help; do
	expect_exit 0 q2s-create -o "$list"
	for key in size compat backing_file backing_fmt cluster_size lazy_refcounts refcount_bits \
		preallocation data_file data_file_raw compression_type extended_l2 nocow \
		extent_size_hint; do
		expect_stdout "^  $key="
	done
	expect_stdout 'cluster_size=SIZE \(default: 64k\)'
done

# usage_error PATTERN [ARG...]: one line that names the wrong word and points to --help.
usage_error() {
	local pattern=$1

	shift
	expect_exit 1 q2s-create "$@"
	assert_equal 1 "$(wc -l <stderr)" "number of lines"
	assert_equal "" "$(cat stdout)" "stdout"
	expect_stderr "^q2s-create: .*$pattern.*; see q2s-create --help\$"
}

usage_error 'FILE is missing'
usage_error 'SIZE.* missing' new
usage_error "'extra'" new 1M extra
usage_error 'option --frobnicate' --frobnicate new 1M
usage_error 'option -x' -x new 1M
usage_error 'option -x' -qx new 1M
usage_error 'option --force=yes takes no' --force=yes new 1M
usage_error 'option -o needs' new 1M -o
usage_error 'option --backing needs' new 1M --backing
usage_error "'1Q'" new 1Q
usage_error "'-1'" -- new -1
usage_error "'1M'.*-o size" -o size=1M new 1M
usage_error "'clustersize'; known: .*cluster_size" -o clustersize=1 new 1M
usage_error "'1x'" -o cluster_size=1x new 1M
usage_error 'cluster_size: 1000 ' -o cluster_size=1000 new 1M
usage_error 'refcount_bits: 3 ' -o refcount_bits=3 new 1M
usage_error 'compat.*lazy_refcounts needs compat=v3' -o compat=v2,lazy_refcounts new 1M
usage_error '\\x1b\[31m' -o $'\e[31m=1' new 1M
usage_error "'\\\\x07extra'" new 1M $'\aextra'
usage_error 'option --\\x1bc' --$'\ec' new 1M
[ ! -e new ] || fail "a refused image was made"

expect_exit 1 q2s-create -o encrypt.format=luks new 1M
expect_stderr 'encrypt.format: needs a passphrase: --key-file'

expect_exit 0 q2s-create -o cluster_size=4k,lazy_refcounts new 1.5M
expect_silence
expect_stdout '^new: 1.5 MiB \(1572864 bytes\) compat=1.1 cluster_size=4096 refcount_bits=16 .*lazy_refcounts=on'
assert_equal 1 "$(wc -l <stdout)" "number of lines"
expect_exit 0 q2s-create -q quiet 1M
expect_silence
assert_equal "" "$(cat stdout)" "stdout"
expect_exit 0 q2s-create $'odd\nname' 1M
expect_stdout '^odd\\x0aname: 1 MiB'
[ -e $'odd\nname' ]

# -- ends the options; so a FILE may start with a dash.
expect_exit 0 q2s-create -q -- -dash 1M
[ -e ./-dash ]

# Equal options, equal bytes.
q2s-create -q one 7M
q2s-create -q two 7M
assert_same_bytes one two

# A result that cannot be told is a failure.
if [ -c /dev/full ]; then
	got=0
	q2s-create three 1M >/dev/full 2>stderr || got=$?
	assert_equal 1 "$got" "exit code with a full stdout"
	expect_stderr 'standard output: No space left'
	expect_exit 1 q2s-create -q /dev/full 1M
	expect_stderr '^q2s-create: /dev/full: .*No space left'
fi
