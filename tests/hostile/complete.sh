#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# No finding without an image that shows it: each id of doc/findings is expected by a spec.

. "$Q2S_SRC/tests/cli/lib.sh"

specs=$Q2S_SRC/tests/hostile/specs

# What no image can show: tests/unit/test_check.c does.
elsewhere=' unreadable file-changed '

severity='\(corruption\|leak\|note\|unreadable\)'
ids=$(sed -n "s/^\([a-z0-9-]*\)  $severity\$/\1/p" "$Q2S_SRC/doc/findings")
[ "$(wc -w <<<"$ids")" -gt 50 ] || fail "doc/findings is not understood"

for id in $ids; do
	case $elsewhere in *" $id "*)
		grep -q "\"$id\"" "$Q2S_SRC/tests/unit/test_check.c" || fail "nothing tests $id"
		continue
		;;
	esac
	grep -Eqsx "check: finds $id( x[0-9]+)?" "$specs"/*.spec || fail "no spec shows $id"
done

# A line that no program reads is a mistake; so is a spec that expects nothing.
for spec in "$specs"/*.spec; do
	grep -q '^title ' "$spec" || fail "$spec has no title"
	grep -q '^[a-z]*: ' "$spec" || fail "$spec expects nothing"
done
