#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The options of a tool are the same wherever they are listed: --help, -h, and the man page.

. "$Q2S_SRC/tests/cli/lib.sh"
requires jq

# listed COMMAND...: the long options that its --help lists.
listed() {
	"$@" --help | sed -nE 's/^ +(-[A-Za-z], )?(--[a-z])/\2/p' | grep -oE -- '--[a-z][a-z0-9-]*' | sort -u
}

# described TOOL: the long options of its man page, without the escapes of roff.
described() {
	sed 's/\\-/-/g' "$Q2S_SRC/doc/$1.1" | grep -oE -- '--[a-z][a-z0-9-]*' | sort -u
}

# headed TOOL: those that have a paragraph of their own in the man page.
headed() {
	sed 's/\\-/-/g' "$Q2S_SRC/doc/$1.1" | grep -A1 '^\.TP' | grep -oE -- '--[a-z][a-z0-9-]*' | sort -u
}

# verbs TOOL
verbs() {
	"$1" --help | sed -n 's/^  \([a-z]\{1,\}\)  .*/\1/p'
}

count=0
for tool in q2s-create q2s-stream q2s-corpus q2s-inspect q2s-edit; do
	{
		listed $tool
		case $tool in
		q2s-inspect | q2s-edit)
			for verb in $(verbs $tool); do
				listed $tool "$verb"
			done
			;;
		esac
	} | sort -u >"$tool.help"
	described $tool >"$tool.man"
	missing=$(comm -23 "$tool.help" "$tool.man")
	[ -z "$missing" ] || fail "$tool.1 does not name" $missing
	count=$((count + $(wc -l <"$tool.help")))
done
[ $count -gt 100 ] || fail "only $count options are listed"

headed q2s-inspect >headed
missing=$(comm -23 headed q2s-inspect.help)
[ -z "$missing" ] || fail "no --help of q2s-inspect lists" $missing

# -h is --help, also where a verb has only the options of all.
q2s-inspect --help >long
q2s-inspect -h >short
assert_same_bytes long short
for verb in $(verbs q2s-inspect); do
	q2s-inspect "$verb" --help >long
	q2s-inspect "$verb" -h >short
	assert_same_bytes long short
done

# The last word wins.
q2s-create -q disk.qcow2 1M
expect_exit 0 q2s-inspect info --output=json --output=human disk.qcow2
expect_stdout '^disk.qcow2: qcow2'
expect_exit 0 q2s-inspect map --output human -s 64k --start-offset=512k --output=json disk.qcow2
assert_equal 524288 "$(jq '.[0].start' stdout)" 'the start that was said last'
