#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Each public header is complete by itself, in plain C11 and, where there is a compiler, in C++.

. "$Q2S_SRC/tests/cli/lib.sh"

read -ra cc <<<"${CC:-cc}"
warnings=(-Wall -Wextra -pedantic -Werror)

echo '#include MISSING' >bad.c
expect_exit 1 "${cc[@]}" -std=c11 "${warnings[@]}" -fsyntax-only '-DMISSING=<q2s/no.h>' bad.c

for header in "$Q2S_SRC"/include/q2s/*.h; do
	name=q2s/${header##*/}
	printf '#include <%s>\n#include <%s>\nextern int unit_is_not_empty;\n' "$name" "$name" >one.c
	expect_exit 0 "${cc[@]}" -std=c11 "${warnings[@]}" -I"$Q2S_SRC/include" -fsyntax-only one.c
	if command -v c++ >/dev/null; then
		expect_exit 0 c++ -x c++ "${warnings[@]}" -I"$Q2S_SRC/include" -fsyntax-only one.c
	fi
done

# The size of each public struct is pinned.
while read -r struct; do
	grep -q "PIN($struct," "$Q2S_SRC/tests/unit/test_abi.c" || fail "tests/unit/test_abi.c does not pin $struct"
done < <(grep -hoE '^struct q2s_[a-z0-9_]+ \{' "$Q2S_SRC"/include/q2s/*.h | cut -d' ' -f2)

# What is declared as options on the stack gets its size; who forgets it gets Q2S_E_USAGE at run time only.
unsized=$(cd "$Q2S_SRC" && find lib src plugins python tests examples -name '*.[ch]' -exec awk '
	/struct q2s_[a-z0-9_]*(options|plan_look) [a-z0-9_]+ = \{/ {
		line = $0; where = FILENAME ":" FNR
		if (!/= \{[ ]*[.0-9]/) { getline; line = line $0 }
		if (line !~ /= \{[ \t]*\.size = /) print where
	}' {} +)
[ -z "$unsized" ] || fail "no .size in the options of $unsized"

# What fails says how: the comment above each function that returns a code names some, or says as which
# function it fails.
silent=$(awk '
	FNR == 1 { comment = "" }
	/^\/\*\*/ { comment = ""; inside = 1 }
	inside { comment = comment $0 "\n"; if (/\*\//) inside = 0; next }
	/^enum q2s_err q2s_[a-z0-9_]+\(/ {
		if (comment !~ /Q2S_E_|[Ff]ails|Returns (what|as|Q2S_OK:)/) {
			sub(/\(.*/, "")
			print FILENAME ": " $3
		}
	}
	/[;{}]$/ { comment = "" }
' "$Q2S_SRC"/include/q2s/*.h)
[ -z "$silent" ] || fail "no word of errors: $silent"
