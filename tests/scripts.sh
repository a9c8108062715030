#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every shell script of the tree passes shellcheck, and every test script is one that make knows.

. "$Q2S_SRC/tests/cli/lib.sh"

cd "$Q2S_SRC"

# A script that no Makemodule.am names would never run, and nobody would miss it.
while read -r script; do
	grep -Fqs -e "$script" tests/Makemodule.am tests/*/Makemodule.am ||
		fail "$script is named in no Makemodule.am"
done < <(find tests -name '*.sh')
while read -r program; do
	grep -Fqs -e "${program%.c}" tests/unit/Makemodule.am tests/fuzz/Makemodule.am ||
		fail "$program is named in no Makemodule.am"
done < <(find tests/unit tests/fuzz -name 'test_*.c' -o -name 'fuzz_*.c')

requires shellcheck
shellcheck -S warning run .ci/run scripts/*.sh
find tests -name '*.sh' -exec shellcheck -S warning {} +
