#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# make knows each source and each test of the tree, each script can be run by hand, and shellcheck has
# no fault to find.

. "$Q2S_SRC/tests/cli/lib.sh"

cd "$Q2S_SRC"

# A source or a test that no Makemodule.am names is not built, not run and not in the tarball.
while read -r file; do
	grep -Eqs "(^|[[:space:]=])${file//./\\.}( |\$)" include/Makemodule.am examples/Makemodule.am python/Makemodule.am \
		{lib,src,plugins}/*/Makemodule.am \
		tests/Makemodule.am tests/*/Makemodule.am && continue
	case $file in
	tests/*/*.c)
		grep -Eqs "[[:space:]=]${file%.c}( |\$)" tests/{unit,fuzz,interop,hostile}/Makemodule.am && continue
		;;
	esac
	fail "$file is named in no Makemodule.am"
done < <(find include lib src plugins examples python tests -name '*.[ch]' -o -name '*.sh')

for file in findings/*; do
	grep -Eq "[[:space:]=]${file//./\\.}( |\$)" Makefile.am || fail "Makefile.am does not name $file"
done

# What is no library begins with the name of its shell.
while read -r script; do
	[ -x "$script" ] || fail "$script is not executable"
done < <(grep -rlE --include='*.sh' '^#!/bin' scripts src tests findings)

requires shellcheck
shellcheck -S warning run .ci/run scripts/*.sh findings/*.sh
find tests -name '*.sh' -exec shellcheck -S warning {} +
