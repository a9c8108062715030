#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# scripts/dist-twice.sh
#
# Make the release tarball of the last commit in two clones, whose files have other times and other
# modes, and prove that both are the same, byte for byte.

set -euo pipefail
src=$(readlink -f -- "${BASH_SOURCE[0]}")
src=${src%/scripts/*}
commit=$(git -C "$src" rev-parse HEAD) # which may move while this runs
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# dist NAME UMASK TIME CONFIGURE...: the tarball of a clone, as $tarball.
dist() {
	local clone=$work/$1

	umask "$2"
	git clone -q "$src" "$clone"
	git -C "$clone" checkout -q --detach "$commit"
	find "$clone" -path "$clone/.git" -prune -o -exec touch -d "$3" {} +
	(
		cd "$clone"
		autoreconf -i
		./configure -q "${@:4}"
		make -s dist
	) >"$work/log" 2>&1 || {
		tail -n 20 "$work/log" >&2
		exit 1
	}
	tarball=$(echo "$clone"/q2s-*.tar.xz)
}

dist a 022 2001-02-03
first=$tarball
dist b 077 2020-01-01 --without-nbdkit --without-python --without-libnbd
cmp "$first" "$tarball" || {
	diff <(tar -tvf "$first") <(tar -tvf "$tarball") | sed -n 1,20p
	exit 1
}
sha256sum "$first" | sed "s, .*/,  ,"
