#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The package of Python: what it reads of the corpus is what qemu-img reads, what it says of an image
# is what q2s-inspect says, what it writes is what q2s-stream writes, and what is wrong is an exception.
#
# Of the corpus some images, but each kind; Q2S_CORPUS=all looks at all of them.

. "$Q2S_SRC/tests/cli/lib.sh"
requires qemu-img jq python3
built=$Q2S_BUILD/python/.libs/_q2s.abi3.so
[ -e "$built" ] || skip "q2s was built without the package of Python"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || skip "needs Python 3.11"

mkdir -p package/q2s
cp "$Q2S_SRC"/python/q2s/* "$built" package/q2s/
export PYTHONPATH=$tmp/package PYTHONDONTWRITEBYTECODE=1
python=(python3 -X dev -W error)
# A sanitizer's library comes first, in a program that was built without it; Python leaks.
if grep -q '^#define HAVE_SANITIZERS 1$' "$Q2S_BUILD/config.h"; then
	python=(env LD_PRELOAD="$("${CC:-cc}" -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0
		"${python[@]}")
fi

q2s-corpus -q corpus
cd corpus
"${python[@]}" "$Q2S_SRC/tests/interop/python_corpus.py" "${Q2S_CORPUS:-some}"
cd ..
"${python[@]}" "$Q2S_SRC/tests/interop/python_calls.py"
