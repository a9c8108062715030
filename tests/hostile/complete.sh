#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# No finding, and no rule, without an image that shows it: each id of doc/findings is expected by a
# spec, each id of doc/rules broken by one; and each spec that is not legal breaks one of them.

. "$Q2S_SRC/tests/cli/lib.sh"

specs=$Q2S_SRC/src/corpus/specs

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

rules=$(sed -n 's/^\([a-z0-9-]*\)  [A-Za-z].*/\1/p' "$Q2S_SRC/doc/rules" | sort)
[ "$(wc -w <<<"$rules")" -gt 50 ] || fail "doc/rules is not understood"
broken=$(sed -n 's/^breaks \([a-z0-9-]*\) .*/\1/p' "$specs"/*.spec | sort -u)
diff <(echo "$rules") <(echo "$broken") || fail "rules and what specs break are not the same"

# A line that no program reads is a mistake; so is a spec that expects nothing, or one of which
# nobody knows what is wrong.
for spec in "$specs"/*.spec; do
	grep -q '^title ' "$spec" || fail "$spec has no title"
	grep -q '^check: exit [0-3]$' "$spec" || fail "$spec expects nothing"
	grep -Eq '^check: exit 0$|^breaks |^check: finds extension-bitmaps-stale$' "$spec" ||
		fail "$spec breaks no rule"
done
