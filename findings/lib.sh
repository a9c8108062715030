# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# For the scripts beside it, which source it: packages in a folder of their own, and verdicts.

set -euo pipefail

here=$(mktemp -d)
trap 'cd /; rm -rf "$here"' EXIT
cd "$here"
mkdir root debs work

skip() {
	echo "cannot be tried: $*"
	exit 77
}

changed() {
	echo "CHANGED: $*"
	exit 1
}

# install PACKAGE=VERSION...: unpacked in $here/root; nothing of the system changes. What the programs
# link to besides must be there already.
install() {
	command -v apt-get dpkg >/dev/null || skip "this is no Debian"
	(cd debs && apt-get -qq download "$@" >../apt.log 2>&1) ||
		skip "apt-get download $*: $(tail -n 1 apt.log)"
	for deb in debs/*.deb; do
		dpkg -x "$deb" root
	done
	lib=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo x86_64-linux-gnu)
	export LD_LIBRARY_PATH=$here/root/usr/lib/$lib:$here/root/lib/$lib
	export PATH=$here/root/usr/bin:$PATH
	for program in root/usr/bin/*; do
		! ldd "$program" 2>/dev/null | grep -q 'not found' ||
			skip "libraries of ${program##*/} are missing"
	done
	printf 'with %s\n' "$@"
	cd work
}

# The package that makes the images.
export qemu="qemu-utils=1:7.2+dfsg-7+deb12u18+b3"

# expect WHAT GOT WANTED
expect() {
	echo "$1: $2"
	[ "$2" = "$3" ] || changed "$1 was $3"
}
