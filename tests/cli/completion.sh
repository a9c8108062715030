#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What bash completes: verbs, options, words that an option takes, keys of -o, files. All options that
# a tool's --help lists are offered.

. "$Q2S_SRC/tests/cli/lib.sh"
# Outside of an interactive shell there is no compopt to call.
compopt() { :; }
. "$Q2S_SRC/src/completion/q2s"

# offered LINE: what is offered at its end, sorted.
offered() {
	COMP_LINE=$1 COMP_POINT=${#1}
	COMPREPLY=()
	_q2s "${1%% *}"
	printf '%s\n' "${COMPREPLY[@]}" | sort | tr '\n' ' '
}

touch disk.raw
assert_equal 'explain ' "$(offered 'q2s-inspect expl')"
assert_equal 'check disk.raw dump explain hex info map report safety ' \
	"$(offered 'q2s-inspect ' | tr ' ' '\n' | grep -xE 'info|map|check|dump|explain|hex|safety|report|disk.raw' | tr '\n' ' ')"
assert_equal '--measure ' "$(offered 'q2s-stream --meas')"
assert_equal '--raw-entries ' "$(offered 'q2s-inspect map --raw')"
assert_equal '' "$(offered 'q2s-inspect check --raw' | tr -d ' ')"
assert_equal 'any beside none ' "$(offered 'q2s-inspect map --follow=')"
assert_equal 'extended_l2= ' "$(offered 'q2s-create -o extended')"
assert_equal 'off on ' "$(offered 'q2s-create -o extended_l2=')"
assert_equal 'extended_l2=on,compat= ' "$(offered 'q2s-create -o extended_l2=on,compa')"
assert_equal 'disk.raw ' "$(offered 'q2s-stream di')"
assert_equal 'qcow2 raw ' "$(offered 'q2s-stream -O ')"

count=0
for command in q2s-create q2s-stream q2s-corpus 'q2s-inspect check' 'q2s-edit write' 'q2s-edit commit' \
	'q2s-edit rebase' 'q2s-edit bitmap' 'q2s-edit compact' 'q2s-edit amend' 'q2s-edit resize' 'q2s-edit snapshot'; do
	all=$(offered "$command --")
	while read -r option; do
		case " $all" in
		*" $option "* | *" $option= "*) count=$((count + 1)) ;;
		*) fail "$command: $option is not offered, but $all" ;;
		esac
	done < <($command --help | sed -nE 's/^ +(-[A-Za-z], )*(--[a-z0-9-]+).*/\2/p')
done
[ $count -gt 50 ] || fail "only $count options are listed"
