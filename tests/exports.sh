#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What is visible of the library is what its headers declare: the symbol map lists it, the shared library
# exports it, and the static one shows nothing else to who links it, so that hidden names can change freely.

. "$Q2S_SRC/tests/cli/lib.sh"

# same WHAT: sorted names in `got` are those of `declared`.
same() {
	diff declared got >difference || {
		cat difference
		fail "$1: not the functions that the headers declare (< declared, > found)"
	}
}

# The name of a function that a header declares stands before the first parenthesis of a line; an inline
# function's begins its line.
awk -f "$Q2S_SRC/tests/code.awk" "$Q2S_SRC"/include/q2s/*.h | cut -d: -f3- |
	sed -nE 's/^[a-z][^(]*[ *](q2s_[a-z0-9_]+)\(.*/\1/p' | LC_ALL=C sort -u >declared
grep -qx q2s_version declared || fail 'q2s_version is not found among the declarations'

sed -nE 's/^\t(q2s_[a-z0-9_]+);$/\1/p' "$Q2S_SRC/lib/libq2s.map" | LC_ALL=C sort >got
same lib/libq2s.map

sed -n '/^\.SH FUNCTIONS/,$p' "$Q2S_SRC/doc/libq2s.3" |
	sed -nE 's/^\.BR (q2s_[a-z0-9_]+) \(\)[.,]$/\1/p' | LC_ALL=C sort >got
same doc/libq2s.3

# exported FILE: what a program can see. The version node itself is listed as an absolute symbol (A).
read -ra nm <<<"${NM:-nm}"
exported() {
	"${nm[@]}" -D --defined-only "$1" >symbols
	awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' symbols | LC_ALL=C sort
}

so=$Q2S_BUILD/lib/.libs/libq2s.so archive=$Q2S_BUILD/lib/.libs/libq2s.a
if [ -e "$so" ]; then
	exported "$so" >got
	same "$so"
fi

# All of the archive made into a library without a map: what it would export is what is visible. Sanitizers
# put names of their own into it.
read -ra cc <<<"${CC:-cc}"
if [ -e "$archive" ] && ! grep -q 'define HAVE_SANITIZERS' "$Q2S_BUILD/config.h"; then
	"${cc[@]}" -shared -o whole.so -Wl,--whole-archive "$archive" -Wl,--no-whole-archive
	exported whole.so >got
	same "$archive"
fi
