#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# scripts/build-deb.sh
#
# Build the Debian packages of this tree, look at them with lintian, install them, and run their tests
# (debian/tests). It installs what that takes, so it is meant for a system that can be thrown away:
#
#	scripts/on-debian.sh --keep trixie scripts/build-deb.sh
#
# The packages are then in build/debian-trixie/root/q2s-deb. It must be root.

set -euo pipefail
src=$(readlink -f -- "${BASH_SOURCE[0]}")
src=${src%/scripts/*}
work=$src-deb
export DEBIAN_FRONTEND=noninteractive

say() {
	echo "build-deb: $*" >&2
}

apt() {
	apt-get -q -y --no-install-recommends "$@" >"$work/apt.log" 2>&1 || {
		tail -n 20 "$work/apt.log" >&2
		say "apt-get $1 failed"
		exit 1
	}
}

rm -rf "$work"
mkdir -p "$work/q2s"
say 'what the build needs'
apt update
apt install build-essential devscripts equivs lintian autopkgtest
(cd "$src" && find . -mindepth 1 -maxdepth 1 ! -name 'build*' ! -name .git ! -name autom4te.cache \
	-exec cp -a {} "$work/q2s/" \;)
cd "$work/q2s"
apt build-dep .

say 'building'
dpkg-buildpackage -us -uc -b >"$work/build.log" 2>&1 || {
	tail -n 40 "$work/build.log" >&2
	exit 1
}
tail -n +1 ../*.changes | sed -n '/^Checksums-Sha256/,/^Files/p' | grep '\.deb' || :
say 'lintian'
lintian --allow-root --fail-on error --info ../*.changes

say 'installing, and the tests of the packages'
autopkgtest --quiet --no-built-binaries --output-dir="$work/tests" . ../*.deb -- null >"$work/tests.log" 2>&1 || {
	# 8: all that could run passed, some were skipped
	[ $? = 8 ] || { grep -h . "$work"/tests/*-std* >&2; exit 1; }
}
cat "$work/tests/summary"
