#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The shared library exports q2s_ names and nothing else, so that hidden names can change freely.

set -u

so=$Q2S_BUILD/lib/.libs/libq2s.so
if [ ! -e "$so" ]; then
	echo "skipped: this build has no shared library"
	exit 77
fi

# The version node itself is listed as an absolute symbol (A).
read -ra nm <<<"${NM:-nm}"
symbols=$("${nm[@]}" -D --defined-only "$so") || exit 1
exported=$(awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' <<<"$symbols" | LC_ALL=C sort)

if ! grep -qx q2s_version <<<"$exported"; then
	echo "q2s_version is not exported; found: $exported"
	exit 1
fi
if grep -v '^q2s_' <<<"$exported"; then
	echo "exported, but no public name"
	exit 1
fi
echo "$(wc -l <<<"$exported") exported names, all public"
