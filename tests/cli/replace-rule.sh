#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# One rule for a file that exists and is not read: what is copied takes its place, what is made anew wants
# --force. All manuals say it in the same words, and all tools do it.

. "$Q2S_SRC/tests/cli/lib.sh"

# rule PAGE: what it says of files that exist.
rule() {
	sed -n '/^\.SS Files that exist$/,/^\.S[HS] [^F]/p' "$1" | sed '$d'
}

rule "$Q2S_SRC/doc/q2s-stream.1" >want
[ "$(wc -l <want)" -gt 10 ] || fail 'q2s-stream does not say it'
for tool in create inspect edit corpus; do
	rule "$Q2S_SRC/doc/q2s-$tool.1" >got
	diff want got || fail "q2s-$tool says it in other words"
done

truncate -s 1M disk
echo before >kept
before() {
	cp kept file
}
stays() {
	assert_same_bytes kept file
	assert_equal 'disk file got image kept stderr stdout want' "$(find . -maxdepth 1 -type f -printf '%f\n' | sort | xargs)" \
		"what is there after $1"
}
replaced() {
	! cmp -s kept file || fail "$1 replaced nothing"
}
q2s-create -q image 1M
touch stdout stderr

# Copies: DEST in both formats, a plan, a map.
for copy in 'disk file' '-O raw disk file' '--save-plan file --measure disk' '--salvage=file image /dev/null'; do
	before
	# shellcheck disable=SC2086 # words
	expect_exit 0 q2s-stream $copy
	replaced "q2s-stream $copy"
	before
	# shellcheck disable=SC2086
	expect_exit 1 q2s-stream -o cluster_size=3 -O qcow2 $copy
	stays "q2s-stream $copy, which failed"
done

# What is made anew.
for new in 'q2s-create file 1M' 'q2s-create -q -o data_file=file new 1M' 'q2s-inspect report --out file image' \
	'q2s-edit repair -r all --plan file image'; do
	before
	# shellcheck disable=SC2086
	expect_exit 1 $new
	expect_stderr '^q2s-[a-z]*: file: .*exists already.*--force'
	stays "$new"
	before
	# shellcheck disable=SC2086
	expect_exit 0 $new --force
	replaced "$new --force"
	rm -f new
done
before
expect_exit 1 q2s-corpus .
expect_exit 1 q2s-corpus file
stays q2s-corpus
