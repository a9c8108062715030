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
